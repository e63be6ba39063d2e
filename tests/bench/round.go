// One round of one workload: chosen by name, warmed up, measured, and printed
// as nanoseconds per operation. round.c does the same: change both.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	warm  = 25 * time.Millisecond
	round = 150 * time.Millisecond
)

type workload struct {
	name string
	run  func(n int) // n operations
}

// The number on the command line; 0 without.
var number int

func timed(w workload, n int) time.Duration {
	start := time.Now()
	w.run(n)
	return time.Since(start)
}

// Twice as many until it takes long enough to know how many make a round.
func measure(w workload) float64 {
	n := 1
	took := timed(w, n)
	for took < warm {
		n *= 2
		took = timed(w, n)
	}
	n = int(float64(n) * float64(round) / float64(took))
	if n < 1 {
		n = 1
	}
	return float64(timed(w, n)) / float64(n)
}

func roundMain(workloads []workload) {
	if len(os.Args) > 2 {
		number, _ = strconv.Atoi(os.Args[2])
	}
	for _, w := range workloads {
		if len(os.Args) > 1 && w.name == os.Args[1] {
			fmt.Printf("%.3f\n", measure(w))
			return
		}
	}
	fmt.Fprintf(os.Stderr, "usage: %s WORKLOAD [NUMBER], with one of\n", os.Args[0])
	for _, w := range workloads {
		fmt.Fprintf(os.Stderr, "\t%s\n", w.name)
	}
	os.Exit(2)
}
