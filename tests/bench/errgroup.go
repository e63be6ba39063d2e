// Workloads of groups. errgroup.c has the same in C: change both.
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	manyTasks     = 1000000
	depth         = 12
	producerCount = 4
	blockedCount  = 1000
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func nothing() error {
	return nil
}

func oneTask(n int) {
	for i := 0; i < n; i++ {
		g, _ := errgroup.WithContext(context.Background())
		g.Go(nothing)
		must(g.Wait())
	}
}

func tasks(n int, limit int, fn func() error) {
	var g errgroup.Group

	g.SetLimit(limit)
	for i := 0; i < n; i++ {
		g.Go(fn)
	}
	must(g.Wait())
}

func times(count int, limit int) func(n int) {
	return func(n int) {
		for i := 0; i < n; i++ {
			tasks(count, limit, nothing)
		}
	}
}

var worked uint64

// Each step needs the one before, so both compilers make the same of it.
func work(steps int) {
	x := uint64(steps)
	for i := 0; i < steps; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	atomic.StoreUint64(&worked, x)
}

func limit2Work(n int) {
	tasks(n, 2, func() error {
		work(number)
		return nil
	})
}

func forkJoin(depth int) error {
	var g errgroup.Group

	if depth == 0 {
		return nil
	}
	g.Go(func() error { return forkJoin(depth - 1) })
	g.Go(func() error { return forkJoin(depth - 1) })
	return g.Wait()
}

func forkJoins(n int) {
	for i := 0; i < n; i++ {
		must(forkJoin(depth))
	}
}

func producers(n int) {
	var g, makers errgroup.Group

	g.SetLimit(8)
	for i := 0; i < producerCount; i++ {
		makers.Go(func() error {
			for j := 0; j < (n+producerCount-1)/producerCount; j++ {
				g.Go(nothing)
			}
			return nil
		})
	}
	must(makers.Wait())
	must(g.Wait())
}

func blocked(n int) {
	for ; n > 0; n-- {
		var missing atomic.Int64

		ctx, cancel := context.WithCancel(context.Background())
		allThere := make(chan struct{})
		g, ctx := errgroup.WithContext(ctx)
		missing.Store(blockedCount)
		for i := 0; i < blockedCount; i++ {
			g.Go(func() error {
				if missing.Add(-1) == 0 {
					close(allThere)
				}
				<-ctx.Done()
				return nil
			})
		}
		<-allThere
		cancel()
		must(g.Wait())
	}
}

func sleepers(n int) {
	for ; n > 0; n-- {
		tasks(blockedCount, -1, func() error {
			time.Sleep(time.Millisecond)
			return nil
		})
	}
}

func main() {
	roundMain([]workload{
		{"one_task", oneTask},
		{"fan_out_10", times(10, -1)},
		{"fan_out_100", times(100, -1)},
		{"fan_out_1000", times(1000, -1)},
		{"many", times(manyTasks, -1)},
		{"many_limit_2", times(manyTasks, 2)},
		{"many_limit_64", times(manyTasks, 64)},
		{"work", work},
		{"limit_2_work", limit2Work},
		{"fork_joins", forkJoins},
		{"producers", producers},
		{"blocked", blocked},
		{"sleepers", sleepers},
	})
}
