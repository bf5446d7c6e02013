package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table is what the person reads: also Markdown, so that it can be put on a page as it is.
type table struct {
	head []string
	rows [][]string
}

func newTable(head ...string) table { return table{head: head} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// figure adds a number.
func (t *table) figure(what string, n float64, unit, how string) { t.add(what, digits(n), unit, how) }

// String is the table with its columns under each other, those of figures to the right.
func (t *table) String() string {
	rows := append([][]string{t.head}, t.rows...)
	wide := make([]int, len(t.head))
	right := make([]bool, len(t.head))
	for i := range t.head {
		figures, words := 0, 0
		for k, r := range rows {
			wide[i] = max(wide[i], utf8.RuneCountInString(r[i]))
			switch {
			case k == 0 || r[i] == "" || r[i] == "-":
			case isFigure(r[i]):
				figures++
			default:
				words++
			}
		}
		right[i] = figures > 0 && words == 0
	}
	wide[len(wide)-1] = 0 // nothing stands behind it
	var out strings.Builder
	line := func(cells []string) {
		for i, cell := range cells {
			width := wide[i]
			if !right[i] {
				width = -width
			}
			out.WriteString("| " + pad(cell, width) + " ")
		}
		out.WriteString("|\n")
	}
	line(t.head)
	for i, width := range wide {
		switch {
		case width == 0:
			out.WriteString("|---")
		case right[i]:
			out.WriteString("|" + dashes(width+1) + ":")
		default:
			out.WriteString("|" + dashes(width+2))
		}
	}
	out.WriteString("|\n")
	for _, r := range t.rows {
		line(r)
	}
	return out.String()
}

// isFigure reports whether a cell begins with a number.
func isFigure(cell string) bool {
	digits := strings.TrimPrefix(cell, "-")
	return digits != "" && unicode.IsDigit(rune(digits[0]))
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
