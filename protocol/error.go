package protocol

import (
	"errors"
	"fmt"
)

// Code is a stable error code of section 13. The list only grows.
const (
	CodeBadRequest      = "bad-request"
	CodeTooLarge        = "too-large"
	CodeNotFound        = "not-found"
	CodeNotAllowed      = "not-allowed"
	CodeUnauthorized    = "unauthorized"
	CodeRateLimited     = "rate-limited"
	CodeClockAhead      = "clock-ahead"
	CodeExpired         = "expired"
	CodeIDReused        = "id-reused"
	CodeNotContact      = "not-contact"
	CodeRequestWaiting  = "request-waiting"
	CodeSpaceFull       = "space-full"
	CodeSenderFull      = "sender-full"
	CodeRelayFull       = "relay-full"
	CodeHomeAway        = "home-away"
	CodeChainConflict   = "chain-conflict"
	CodeUEKConflict     = "uek-conflict"
	CodeVaultConflict   = "vault-conflict"
	CodeBadChain        = "bad-chain"
	CodeUsernameTaken   = "username-taken"
	CodeUsernameBad     = "username-bad"
	CodeInviteUnknown   = "invite-unknown"
	CodeClaimUnknown    = "claim-unknown"
	CodePairEmpty       = "pair-empty"
	CodePairUsed        = "pair-used"
	CodeHandoverUnknown = "handover-unknown"
	CodeHomeExists      = "home-exists"
	CodeOrigin          = "origin"
	CodeInternal        = "internal"
	CodeUnavailable     = "unavailable"
	CodeAddressRefused  = "address-refused"
	CodePeerAway        = "peer-away"
	CodePeerKey         = "peer-key"
	CodeChainNeeded     = "chain-needed"
	CodeVersion         = "version"
	CodeWallConflict    = "wall-conflict"
	CodeTakenBack       = "taken-back"
	CodePerhapsThere    = "perhaps-there"
)

// Codes is every code of section 13, in the order of that section.
func Codes() []string {
	return []string{
		CodeBadRequest, CodeTooLarge, CodeNotFound, CodeNotAllowed, CodeUnauthorized, CodeRateLimited,
		CodeClockAhead, CodeExpired, CodeIDReused, CodeNotContact, CodeRequestWaiting, CodeSpaceFull,
		CodeSenderFull, CodeRelayFull, CodeHomeAway, CodeChainConflict, CodeUEKConflict, CodeVaultConflict,
		CodeBadChain, CodeUsernameTaken, CodeUsernameBad, CodeInviteUnknown, CodeClaimUnknown, CodePairEmpty,
		CodePairUsed, CodeHandoverUnknown, CodeHomeExists, CodeOrigin, CodeInternal, CodeUnavailable,
		CodeAddressRefused, CodePeerAway, CodePeerKey, CodeChainNeeded, CodeVersion,
		CodeWallConflict, CodeTakenBack, CodePerhapsThere,
	}
}

// Error is the one error of the house. Code and Params cross the wire; Op and
// Cause stay in the log of whoever met it.
type Error struct {
	Op     string         // what was being done, "package.Func"
	Code   string         // one of the codes above
	Params map[string]any // numbers and short words for the sentence the app writes
	Cause  error
}

func (e *Error) Error() string {
	text := e.Op + ": " + e.Code
	if e.Cause != nil {
		text += fmt.Sprintf(": %v", e.Cause)
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// CodeOf is the code of the first *Error in err's chain, CodeInternal for other
// errors and "" for nil.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// Refuse makes an *Error whose cause is a plain reason.
func Refuse(op, code, reason string) *Error {
	return &Error{Op: op, Code: code, Cause: errors.New(reason)}
}
