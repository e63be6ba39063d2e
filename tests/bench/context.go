// Workloads of contexts. context.c has the same in C: change both.
package main

import (
	"context"
	"os"
	"sync"
	"time"
)

func makeAndCancel(parent context.Context, n int) {
	for i := 0; i < n; i++ {
		_, cancel := context.WithCancel(parent)
		cancel()
	}
}

func cancel(n int) {
	makeAndCancel(context.Background(), n)
}

func child(n int) {
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	makeAndCancel(parent, n)
}

func timeout(n int) {
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := 0; i < n; i++ {
		_, cancel := context.WithTimeout(parent, time.Hour)
		cancel()
	}
}

func err(n int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := 0
	for i := 0; i < n; i++ {
		if ctx.Err() != nil {
			done++
		}
	}
	if done != 0 {
		os.Exit(1)
	}
}

func park(count int) func(n int) {
	return func(n int) {
		for i := 0; i < n; i++ {
			var wg sync.WaitGroup

			ctx, cancel := context.WithCancel(context.Background())
			wg.Add(count)
			for j := 0; j < count; j++ {
				go func() {
					<-ctx.Done()
					wg.Done()
				}()
			}
			cancel()
			wg.Wait()
		}
	}
}

func main() {
	roundMain([]workload{
		{"cancel", cancel},
		{"child", child},
		{"timeout", timeout},
		{"err", err},
		{"parked_1000", park(1000)},
		{"parked_10000", park(10000)},
	})
}
