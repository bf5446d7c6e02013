package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where the figures were measured.
type machine struct{ text, load string }

func describe(ctx context.Context, dir string) (machine, error) {
	cpu, err := model()
	if err != nil {
		return machine{}, err
	}
	average, err := load()
	if err != nil {
		return machine{}, err
	}
	sync, err := syncTime(dir)
	if err != nil {
		return machine{}, err
	}
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil { // a copy without its history
		commit = []byte("unknown")
	}
	return machine{load: average, text: fmt.Sprintf("%s, %d × %s, %s, fdatasync of 4 KiB %s ms, commit %s",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), cpu, runtime.Version(), digits(sync.Seconds()*1000), bytes.TrimSpace(commit))}, nil
}

func model() (string, error) {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value), nil
		}
	}
	return runtime.GOARCH, nil
}

func load() (string, error) {
	raw, err := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(raw), " ")
	return first, err
}

// syncTime is what durability costs here: the median of some small writes.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var took []float64
	for range 30 {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(began)))
	}
	return time.Duration(median(took)), nil
}

// tick is the unit of processor time in /proc: a hundredth of a second on Linux.
const tick = 10 * time.Millisecond

// processor is the time, user and system, that a process has used so far, threads
// that have ended included: its CPU clock, which is finer than /proc/PID/stat.
func processor(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED of clock_getcpuclockid(3)
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &spent); err != nil {
		return 0, fmt.Errorf("the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(spent.Nano()), nil
}

// busy is the time that all processors have spent on anything so far.
func busy() (time.Duration, error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	return busyOf(first)
}

// busyOf reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
func busyOf(line string) (time.Duration, error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("not /proc/stat: %q", line)
	}
	var sum time.Duration
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 { // idle, iowait
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}
