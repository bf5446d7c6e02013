package protocol

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks JSON text (RFC 8259). It allocates only for strings with
// escapes and for the key sets of objects, so memory stays below a small
// multiple of the input.
type scanner struct {
	in    []byte
	pos   int
	depth int
	max   int
}

var (
	errSyntax = errors.New("not JSON")
	errDepth  = errors.New("too deep")
	errText   = errors.New("text that is not UTF-8")
)

func (s *scanner) space() {
	for s.pos < len(s.in) {
		switch s.in[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.in) && s.in[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) word(w string) bool {
	if len(s.in)-s.pos >= len(w) && string(s.in[s.pos:s.pos+len(w)]) == w {
		s.pos += len(w)
		return true
	}
	return false
}

func (s *scanner) enter() error {
	s.depth++
	if s.depth > s.max {
		return errDepth
	}
	return nil
}

// members calls member after each `"key":` of an object; member reads the value.
func (s *scanner) members(member func(key string) error) error {
	if !s.take('{') {
		return errType
	}
	if err := s.enter(); err != nil {
		return err
	}
	s.space()
	if s.take('}') {
		s.depth--
		return nil
	}
	for {
		s.space()
		key, err := s.text()
		if err != nil {
			return err
		}
		s.space()
		if !s.take(':') {
			return errSyntax
		}
		if err := member(key); err != nil {
			return err
		}
		s.space()
		if s.take('}') {
			s.depth--
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// items calls item before each value of an array; item reads it.
func (s *scanner) items(item func() error) error {
	if !s.take('[') {
		return errType
	}
	if err := s.enter(); err != nil {
		return err
	}
	s.space()
	if s.take(']') {
		s.depth--
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		s.space()
		if s.take(']') {
			s.depth--
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// skip checks one value of any kind and passes over it.
func (s *scanner) skip() error {
	s.space()
	if s.pos == len(s.in) {
		return errSyntax
	}
	switch c := s.in[s.pos]; {
	case c == '{':
		var seen map[string]bool
		return s.members(func(key string) error {
			if seen[key] {
				return errTwice
			}
			if seen == nil {
				seen = map[string]bool{}
			}
			seen[key] = true
			return s.skip()
		})
	case c == '[':
		return s.items(s.skip)
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || (c >= '0' && c <= '9'):
		return s.number()
	case s.word("true"), s.word("false"), s.word("null"):
		return nil
	default:
		return errSyntax
	}
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.in) && s.in[s.pos] >= '0' && s.in[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

func (s *scanner) number() error {
	s.take('-')
	if s.take('0') {
		if s.digits() > 0 {
			return errSyntax
		}
	} else if s.digits() == 0 {
		return errType
	}
	if s.take('.') && s.digits() == 0 {
		return errSyntax
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if s.digits() == 0 {
			return errSyntax
		}
	}
	return nil
}

// text reads a string and undoes its escapes. A lone surrogate has no UTF-8
// form and is refused.
func (s *scanner) text() (string, error) {
	if !s.take('"') {
		return "", errType
	}
	start := s.pos
	for s.pos < len(s.in) {
		switch c := s.in[s.pos]; {
		case c == '"':
			plain := s.in[start:s.pos]
			s.pos++
			if !utf8.Valid(plain) {
				return "", errText
			}
			return string(plain), nil
		case c == '\\':
			return s.escapedText(start)
		case c < 0x20:
			return "", errSyntax
		}
		s.pos++
	}
	return "", errSyntax
}

func (s *scanner) escapedText(start int) (string, error) {
	out := append([]byte(nil), s.in[start:s.pos]...)
	for s.pos < len(s.in) {
		c := s.in[s.pos]
		s.pos++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", errText
			}
			return string(out), nil
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < 0x20:
			return "", errSyntax
		default:
			out = append(out, c)
		}
	}
	return "", errSyntax
}

func (s *scanner) escape() (rune, error) {
	if s.pos == len(s.in) {
		return 0, errSyntax
	}
	c := s.in[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, err := s.hex4()
		if err != nil || !utf16.IsSurrogate(r) {
			return r, err
		}
		if !s.word(`\u`) {
			return 0, errText
		}
		low, err := s.hex4()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return 0, errText
		}
		return r, nil
	default:
		return 0, errSyntax
	}
}

func (s *scanner) hex4() (rune, error) {
	if len(s.in)-s.pos < 4 {
		return 0, errSyntax
	}
	var r rune
	for range 4 {
		c := s.in[s.pos]
		s.pos++
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, errSyntax
		}
	}
	return r, nil
}
