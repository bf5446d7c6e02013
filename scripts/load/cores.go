package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cores splits the processors that this program may use: the first half for the
// server that is measured, the others for this generator, so that they do not take
// turns on one. With a single one, or without taskset, everybody uses all.
func cores() (servers, clients []int, said string) {
	var set unix.CPUSet
	err := unix.SchedGetaffinity(0, &set)
	var all []int
	for i := 0; err == nil && len(all) < set.Count(); i++ {
		if set.IsSet(i) {
			all = append(all, i)
		}
	}
	if _, missing := exec.LookPath("taskset"); missing != nil || len(all) < 2 {
		return nil, nil, "servers and this generator on the same cores"
	}
	half := len(all) / 2
	return all[:half], all[half:], fmt.Sprintf("servers on %d of %d cores, this generator on the others", half, len(all))
}

// pinnedTo is what a command line begins with that is to run on some processors.
func pinnedTo(cores []int) []string {
	if len(cores) == 0 {
		return nil
	}
	var list []string
	for _, c := range cores {
		list = append(list, strconv.Itoa(c))
	}
	return []string{"taskset", "-c", strings.Join(list, ",")}
}

// pinSelf moves all threads of this program; those that it starts later follow theirs.
func pinSelf(cores []int) error {
	if len(cores) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH { // it has ended
			return err
		}
	}
	return nil
}
