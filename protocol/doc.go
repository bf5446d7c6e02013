// Package protocol is the vocabulary that relay, home and app share: ids,
// hashes and signatures, envelopes, addresses, strict JSON and error codes.
// README.md in this folder is the specification; sections named in comments
// are sections of that page.
//
// It must never do I/O, read a clock or keep state, and it must know nothing
// of what people say to each other: a relay imports it.
package protocol
