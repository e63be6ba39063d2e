// The app of app.c in Go, with a run that does what kratos' App does, in its
// order:
//
//	app hook N       each Start returns nil
//	app blocking N   each Start blocks until Stop
//
// It writes a byte to descriptor 3 once it is up.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// ---- the app ----

type server interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

type hook func(ctx context.Context) error

type options struct {
	id          string
	ctx         context.Context
	signals     []os.Signal
	stopTimeout time.Duration
	servers     []server
	beforeStart []hook
	afterStart  []hook
	beforeStop  []hook
	afterStop   []hook
}

type option func(o *options)

func withServers(servers ...server) option {
	return func(o *options) { o.servers = servers }
}

func withAfterStart(fn hook) option {
	return func(o *options) { o.afterStart = append(o.afterStart, fn) }
}

type app struct {
	options options
	ctx     context.Context
	cancel  context.CancelFunc
}

type appKey struct{}

func newID() string {
	var id [16]byte

	if _, err := rand.Read(id[:]); err != nil {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func newApp(set ...option) *app {
	o := options{
		id:          newID(),
		ctx:         context.Background(),
		signals:     []os.Signal{syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGINT},
		stopTimeout: 10 * time.Second,
	}
	for _, fn := range set {
		fn(&o)
	}
	ctx, cancel := context.WithCancel(o.ctx)
	return &app{options: o, ctx: ctx, cancel: cancel}
}

func runHooks(ctx context.Context, hooks []hook) error {
	for _, fn := range hooks {
		if err := fn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startServers has two goroutines for each server: one that stops it once the
// group's context is done, one that starts it. It returns when all of the latter run.
func (a *app) startServers(eg *errgroup.Group, ctx context.Context) {
	var wg sync.WaitGroup

	outer := context.WithValue(a.options.ctx, appKey{}, a)
	for _, s := range a.options.servers {
		s := s
		eg.Go(func() error {
			<-ctx.Done()
			stopCtx, cancel := context.WithTimeout(outer, a.options.stopTimeout)
			defer cancel()
			return s.Stop(stopCtx)
		})
		wg.Add(1)
		eg.Go(func() error {
			wg.Done()
			return s.Start(outer)
		})
	}
	wg.Wait()
}

func (a *app) run() error {
	appCtx := context.WithValue(a.ctx, appKey{}, a)
	eg, ctx := errgroup.WithContext(appCtx)

	if err := runHooks(appCtx, a.options.beforeStart); err != nil {
		return err
	}
	a.startServers(eg, ctx)
	// Here it would register, if it had a registrar.
	if err := runHooks(appCtx, a.options.afterStart); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, a.options.signals...)
	eg.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			return a.stop()
		}
	})
	if err := eg.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return runHooks(appCtx, a.options.afterStop)
}

func (a *app) stop() error {
	err := runHooks(context.WithValue(a.ctx, appKey{}, a), a.options.beforeStop)
	// Here it would deregister.
	a.cancel()
	return err
}

// ---- the servers ----

type hookServer struct{}

func (hookServer) Start(ctx context.Context) error { return nil }
func (hookServer) Stop(ctx context.Context) error  { return nil }

type blockingServer struct {
	stopped chan struct{}
}

func (s *blockingServer) Start(ctx context.Context) error {
	<-s.stopped
	return nil
}

func (s *blockingServer) Stop(ctx context.Context) error {
	close(s.stopped)
	return nil
}

func newServers(kind string, count int) []server {
	servers := make([]server, count)
	for i := range servers {
		if kind == "blocking" {
			servers[i] = &blockingServer{make(chan struct{})}
		} else {
			servers[i] = hookServer{}
		}
	}
	return servers
}

func tellReady(ctx context.Context) error {
	_, err := syscall.Write(3, []byte{0})
	return err
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: app hook|blocking N")
		os.Exit(2)
	}
	count, _ := strconv.Atoi(os.Args[2])
	a := newApp(withServers(newServers(os.Args[1], count)...), withAfterStart(tellReady))
	if err := a.run(); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}
