package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// settle lets people move in: at each courtyard one with a home and one without,
// all of them friends, and at the last one somebody who takes letters of nobody.
func (t *town) settle(ctx context.Context) ([]*resident, error) {
	var people []*resident
	for i, y := range t.houses {
		names := []string{fmt.Sprintf("resident%d", i+1), fmt.Sprintf("homeless%d", i+1)}
		if i == len(t.houses)-1 {
			names = append(names, "hermit")
		}
		for _, name := range names {
			p, err := y.Join(ctx, name)
			if err != nil {
				return nil, err
			}
			r := &resident{Person: p, house: y, home: name == names[0], shut: name == "hermit"}
			people = append(people, r)
			if r.home {
				if err := y.Pair(ctx, p); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := t.grant(ctx, people); err != nil {
		return nil, err
	}
	for _, r := range people {
		for _, other := range people {
			if r == other || r.shut {
				continue
			}
			if err := r.Call(ctx, "PUT", "/api/1/contacts/"+other.UID.String(), map[string]any{"state": "allow"}, nil); err != nil {
				return nil, err
			}
		}
	}
	return people, nil
}

// grant lets every courtyard pass by way of every other: whoever joined first owns theirs.
func (t *town) grant(ctx context.Context, people []*resident) error {
	for _, y := range t.houses {
		owner := people[slices.IndexFunc(people, func(r *resident) bool { return r.house == y })]
		for _, other := range t.houses {
			if other == y {
				continue
			}
			granted := map[string]any{"until": time.Now().Add(24 * time.Hour).UnixMilli(), "daily": 1 << 30}
			if err := owner.Call(ctx, "PUT", "/api/1/grants/"+other.Host, granted, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// pairs are those who write to each other, in one order.
func pairs(people []*resident) (out [][2]string) {
	for _, r := range people {
		for _, other := range people {
			if r == other || r.shut || other.shut && r.home || other.shut && r.house == other.house {
				continue
			}
			out = append(out, [2]string{r.Username, other.Username})
		}
	}
	return out
}

// lookEvery is how often it is looked whether everything has arrived.
const lookEvery = 2 * time.Second

// quiet waits until nothing is on its way any more, and says so.
func quiet(ctx context.Context, h *history, phones []*phone, ended time.Time) error {
	fmt.Println("no more faults")
	deadline := time.Now().Add(calm)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for once := false; ; {
		busy := busy(ctx, phones)
		switch {
		case busy == "" && once: // twice, since what leaves one place may be on its way to the next
			h.add(entry{What: wasQuiet})
			fmt.Printf("quiet %.0f s after the last fault\n", time.Since(ended).Seconds())
			return nil
		case time.Now().After(deadline):
			h.add(entry{What: wasUnquiet, Note: "after " + calm.String() + ": " + busy})
			return nil
		}
		once = busy == ""
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// busy says what is on its way still; "" for nothing.
func busy(ctx context.Context, phones []*phone) string {
	for _, p := range phones { // from the beginning of the way to its end
		if n := p.left(); n > 0 {
			return fmt.Sprintf("%s has %d letters that no relay answers for", p.Username, n)
		}
	}
	for _, p := range phones {
		if !p.home {
			continue
		}
		if n, err := p.owed(ctx); n > 0 || err != nil {
			return fmt.Sprintf("the home of %s owes %d letters, %v", p.Username, n, err)
		}
	}
	for _, p := range phones {
		if n, err := p.waiting(ctx); n > 0 || err != nil {
			return fmt.Sprintf("the relay of %s has %d letters for others, %v", p.Username, n, err)
		}
		if !p.home {
			continue
		}
		if _, n, err := p.keep(ctx); n > 0 || err != nil {
			return fmt.Sprintf("the relay of %s has %d rows for the home, %v", p.Username, n, err)
		}
	}
	return ""
}
