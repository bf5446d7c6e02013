package crowd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what a process has in memory, in bytes.
type Memory struct {
	Resident float64
	Own      float64 // not mapped from a file, as the program itself is
	Peak     float64 // the most that was resident so far
}

// Memory looks at /proc; it fails once the process is gone.
func (p *Program) Memory() (Memory, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		into, ok := map[string]*float64{"VmRSS:": &m.Resident, "RssAnon:": &m.Own, "VmHWM:": &m.Peak}[fields[0]]
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return Memory{}, err
		}
		*into = n * 1024
	}
	if m.Resident == 0 {
		return Memory{}, fmt.Errorf("process %d has no memory", p.PID())
	}
	return m, nil
}

// ForgetPeak lets Peak begin anew.
func (p *Program) ForgetPeak() error {
	const peak = "5" // of what proc(5) says of clear_refs
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID()), []byte(peak), 0)
}
