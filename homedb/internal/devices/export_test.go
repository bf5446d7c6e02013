package devices

// Answer and Take are what the fuzzers reach for.
var (
	Answer = (*Devices).answer
	Take   = (*Devices).take
)
