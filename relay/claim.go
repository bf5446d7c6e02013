package relay

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/relay/internal/datadir"
)

// Claim reads the claim of the relay whose data is in dir, also while it runs.
// The error is a sentence: there is no relay there, or it has been claimed.
func Claim(dir string) (handshake.Claim, error) {
	token, key, err := datadir.Claim(dir)
	return handshake.Claim{Token: token, RelayKey: key}, err
}

// secretFile bounds a file that holds a secret setting.
const secretFile = 4 << 10

// SecretFiles lets every setting that the environment names come from a file:
// COURTYARD_DATABASE_FILE=/run/secrets/db instead of COURTYARD_DATABASE.
func SecretFiles() kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			path := os.Getenv(name + "_FILE")
			if path == "" {
				continue
			}
			if os.Getenv(name) != "" {
				return nil, fmt.Errorf("both %s and %s_FILE are set: keep one", name, name)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("%s_FILE: %w", name, err)
			}
			if len(raw) > secretFile {
				return nil, fmt.Errorf("%s_FILE: %s is larger than a setting", name, path)
			}
			return strings.TrimSpace(string(raw)), nil
		}
		return nil, nil
	})
}
