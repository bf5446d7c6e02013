package post

import (
	"bytes"
	"encoding/binary"

	"github.com/courtyard-social/courtyard/protocol"
)

// MaxPixels of a photo, by its frame header.
const MaxPixels = 1 << 24

// Markers of a JPEG (ITU T.81, table B.1).
const (
	soi, eoi, sos    = 0xd8, 0xd9, 0xda
	sof0, sof1       = 0xc0, 0xc1
	dht, dqt, dri    = 0xc4, 0xdb, 0xdd
	app0, app2       = 0xe0, 0xe2
	rst0, rst7       = 0xd0, 0xd7
	jfif, iccProfile = "JFIF\x00", "ICC_PROFILE\x00"
)

// CheckJPEG walks the segments of a photo and returns its sides, without decoding
// it: one baseline picture, nothing in it but what is needed to show it, nothing
// before or after it. So a photo carries no place, no camera, no hidden thumbnail,
// and is no page or script as well. Whether it decodes is another question. Codes:
// bad-request, too-large.
func CheckJPEG(raw []byte) (width, height int, err error) {
	const op = "post.CheckJPEG"
	if len(raw) > MaxPhotoSize {
		return 0, 0, protocol.Refuse(op, protocol.CodeTooLarge, "photo over 2 MiB")
	}
	if len(raw) < 2 || raw[0] != 0xff || raw[1] != soi {
		return 0, 0, refuse(op, "no JPEG")
	}
	scans := 0
	for at := 2; ; {
		if at+2 > len(raw) || raw[at] != 0xff {
			return 0, 0, refuse(op, "no marker where one is due")
		}
		marker := raw[at+1]
		at += 2
		if marker == eoi {
			if at != len(raw) || scans == 0 {
				return 0, 0, refuse(op, "something after the end, or nothing before it")
			}
			return width, height, nil
		}
		if at+2 > len(raw) {
			return 0, 0, refuse(op, "cut short")
		}
		end := at + int(binary.BigEndian.Uint16(raw[at:]))
		if end < at+2 || end > len(raw) {
			return 0, 0, refuse(op, "cut short")
		}
		body := raw[at+2 : end]
		at = end
		reason := ""
		switch marker {
		case dht, dqt, dri:
		case app0:
			reason = bare(body)
		case app2:
			if !bytes.HasPrefix(body, []byte(iccProfile)) {
				reason = "APP2 is no colour profile"
			}
		case sof0, sof1:
			if width != 0 {
				return 0, 0, refuse(op, "two pictures")
			}
			width, height, reason = frame(body)
		case sos:
			if width == 0 {
				return 0, 0, refuse(op, "a scan before its frame")
			}
			scans++
			at = entropy(raw, at)
		default:
			reason = "a segment that a photo does not need, or not baseline"
		}
		if reason != "" {
			return 0, 0, refuse(op, reason)
		}
	}
}

// bare accepts a JFIF header without a thumbnail.
func bare(body []byte) string {
	if len(body) != 14 || !bytes.HasPrefix(body, []byte(jfif)) || body[12] != 0 || body[13] != 0 {
		return "APP0 is no bare JFIF header"
	}
	return ""
}

// frame reads a frame header.
func frame(body []byte) (width, height int, reason string) {
	if len(body) < 6 || body[0] != 8 || body[5] != 1 && body[5] != 3 || len(body) != 6+3*int(body[5]) {
		return 0, 0, "frame header"
	}
	height, width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	if width < 1 || width > MaxSide || height < 1 || height > MaxSide || width*height > MaxPixels {
		return 0, 0, "sides"
	}
	return width, height, ""
}

// entropy returns where the coded data of a scan ends: at the next marker that is
// neither a stuffed byte nor a restart.
func entropy(raw []byte, at int) int {
	for at+1 < len(raw) {
		i := bytes.IndexByte(raw[at:], 0xff)
		if i < 0 || at+i+1 >= len(raw) {
			return len(raw)
		}
		at += i
		if next := raw[at+1]; next != 0 && (next < rst0 || next > rst7) {
			return at
		}
		at += 2
	}
	return len(raw)
}
