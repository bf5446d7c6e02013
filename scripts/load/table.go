package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is what the person reads: also Markdown, so that it can be put on a page as it is.
type table struct{ rows [][4]string }

func (t *table) add(what, figure, unit, how string) {
	t.rows = append(t.rows, [4]string{what, figure, unit, how})
}

// figure adds a number.
func (t *table) figure(what string, n float64, unit, how string) { t.add(what, digits(n), unit, how) }

// String is the table with its columns under each other.
func (t *table) String() string {
	rows := append([][4]string{{"what", "figure", "unit", "how"}}, t.rows...)
	var wide [4]int
	for _, r := range rows {
		for i, cell := range r {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for i, r := range rows {
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", pad(r[0], -wide[0]), pad(r[1], wide[1]), pad(r[2], -wide[2]), r[3])
		if i == 0 {
			fmt.Fprintf(&out, "|%s|%s:|%s|---|\n", dashes(wide[0]+2), dashes(wide[1]+1), dashes(wide[2]+2))
		}
	}
	return out.String()
}

func dashes(n int) string { return strings.Repeat("-", n) }

// pad fills up to a width, on the right if it is negative.
func pad(text string, width int) string {
	gap := strings.Repeat(" ", max(0, max(width, -width)-utf8.RuneCountInString(text)))
	if width < 0 {
		return text + gap
	}
	return gap + text
}

// digits writes three significant digits, and large numbers with a comma.
func digits(n float64) string {
	switch size := math.Abs(n); {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return "-"
	case size >= 1000:
		whole := fmt.Sprintf("%.0f", n)
		var out []byte
		for i, c := range []byte(whole) {
			if i > 0 && (len(whole)-i)%3 == 0 && whole[i-1] != '-' {
				out = append(out, ',')
			}
			out = append(out, c)
		}
		return string(out)
	case size >= 100 || n == 0:
		return fmt.Sprintf("%.0f", n)
	case size >= 10:
		return fmt.Sprintf("%.1f", n)
	default:
		return fmt.Sprintf("%.2f", n)
	}
}

// median of figures; of none it is not a number.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	half := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[half]
}

// spread says from where to where figures went.
func spread(figures []float64) string {
	return digits(slices.Min(figures)) + " to " + digits(slices.Max(figures))
}
