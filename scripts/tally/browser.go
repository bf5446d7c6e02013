package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// vitestReport is the part of `vitest --reporter=json` that is counted.
type vitestReport struct {
	Success     bool `json:"success"`
	TestResults []struct {
		Name             string `json:"name"`
		Status           string `json:"status"`
		Message          string `json:"message"`
		AssertionResults []struct {
			FullName        string   `json:"fullName"`
			Status          string   `json:"status"`
			FailureMessages []string `json:"failureMessages"`
		} `json:"assertionResults"`
	} `json:"testResults"`
}

func readVitest(path string, out io.Writer) (counts, error) {
	var c counts
	var report vitestReport
	if err := readReport(path, &report); err != nil {
		return c, err
	}
	for _, file := range report.TestResults {
		before := c.failed
		for _, test := range file.AssertionResults {
			switch test.Status {
			case "passed":
				c.passed++
			case "failed":
				c.failed++
				fmt.Fprintf(out, "FAILED: %s: %s\n%s\n", file.Name, test.FullName, strings.Join(test.FailureMessages, "\n"))
			default:
				c.skipped++
				fmt.Fprintf(out, "skipped: %s: %s (%s)\n", file.Name, test.FullName, test.Status)
			}
		}
		if file.Status == "failed" && c.failed == before {
			c.failed++
			fmt.Fprintf(out, "FAILED: %s\n%s\n", file.Name, file.Message)
		}
	}
	if !report.Success && c.failed == 0 {
		return c, fmt.Errorf("vitest reports a failure outside the tests")
	}
	return c, nil
}

// playwrightReport is the part of Playwright's json reporter that is counted.
type playwrightReport struct {
	Suites []playwrightSuite `json:"suites"`
	Errors []struct {
		Message string `json:"message"`
	} `json:"errors"`
}

type playwrightSuite struct {
	Title  string            `json:"title"`
	Suites []playwrightSuite `json:"suites"`
	Specs  []struct {
		Title string `json:"title"`
		File  string `json:"file"`
		Tests []struct {
			Status  string `json:"status"`
			Results []struct {
				Error struct {
					Message string `json:"message"`
				} `json:"error"`
			} `json:"results"`
			Annotations []struct {
				Type        string `json:"type"`
				Description string `json:"description"`
			} `json:"annotations"`
		} `json:"tests"`
	} `json:"specs"`
}

func readPlaywright(path string, out io.Writer) (counts, error) {
	var c counts
	var report playwrightReport
	if err := readReport(path, &report); err != nil {
		return c, err
	}
	for _, suite := range report.Suites {
		suite.count(&c, out)
	}
	for _, e := range report.Errors {
		c.failed++
		fmt.Fprintf(out, "FAILED: %s\n", e.Message)
	}
	return c, nil
}

func (s playwrightSuite) count(c *counts, out io.Writer) {
	for _, spec := range s.Specs {
		for _, test := range spec.Tests {
			switch test.Status {
			case "expected":
				c.passed++
			case "skipped":
				c.skipped++
				why := "an earlier test of its story failed"
				for _, a := range test.Annotations {
					if a.Description != "" {
						why = a.Description
					}
				}
				fmt.Fprintf(out, "skipped: %s: %s: %s\n", spec.File, spec.Title, why)
			default: // unexpected, and flaky too: a test that passes sometimes has failed
				c.failed++
				why := test.Status
				for _, r := range test.Results {
					if r.Error.Message != "" {
						why = onOneLine(r.Error.Message)
					}
				}
				fmt.Fprintf(out, "FAILED: %s: %s (%s)\n", spec.File, spec.Title, why)
			}
		}
	}
	for _, inner := range s.Suites {
		inner.count(c, out)
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// onOneLine is the beginning of a message, without colours and line ends.
func onOneLine(message string) string {
	words := strings.Join(strings.Fields(colours.ReplaceAllString(message, "")), " ")
	if runes := []rune(words); len(runes) > 300 {
		words = string(runes[:300]) + " …"
	}
	return words
}

func readReport(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the runner left no report: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("the runner's report cannot be read: %w", err)
	}
	return nil
}
