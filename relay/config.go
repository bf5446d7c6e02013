package relay

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

// Config is what an operator may set, by flag or by environment (COURTYARD_…).
type Config struct {
	Listen      string   `env:"COURTYARD_LISTEN" default:"127.0.0.1:8787" placeholder:"ADDRESS" help:"Where to listen for HTTP. A reverse proxy in front speaks HTTPS."`
	Host        string   `env:"COURTYARD_HOST" placeholder:"HOST[:PORT]" help:"The public name of this courtyard, as people's browsers dial it. Without one: the address listened on."`
	Data        string   `env:"COURTYARD_DATA" default:"courtyard-data" type:"path" placeholder:"DIR" help:"Folder for the database, the relay's key and the claim token."`
	Database    string   `env:"COURTYARD_DATABASE" placeholder:"URL" help:"postgres://… instead of the SQLite file in the data folder. COURTYARD_DATABASE_FILE names a file that holds it."`
	Metrics     string   `env:"COURTYARD_METRICS" placeholder:"ADDRESS" help:"A private address, such as 127.0.0.1:9187, for Prometheus. Empty: no metrics."`
	AllowOrigin []string `env:"COURTYARD_ALLOW_ORIGIN" placeholder:"ORIGIN" help:"Web origins besides this relay's own that may serve the app, such as https://app.example."`
	TrustProxy  []string `env:"COURTYARD_TRUST_PROXY" placeholder:"CIDR" help:"Networks of reverse proxies whose X-Forwarded-For is believed. None by default."`
	Reach       []string `env:"COURTYARD_REACH" placeholder:"CIDR" help:"Networks besides the public internet where other courtyards may be, such as 192.168.1.0/24. None by default: names must not lead into a private network."`
	PushHost    []string `env:"COURTYARD_PUSH_HOST" placeholder:"HOST[:PORT]" help:"Push services besides those of the browsers' makers that may be used to wake people's devices, such as push.example."`
	SpaceMiB    int64    `name:"space-mib" env:"COURTYARD_SPACE_MIB" default:"256" help:"Space of one person, MiB; one sender may fill an eighth of it."`
	ReserveMiB  int64    `name:"reserve-mib" env:"COURTYARD_RESERVE_MIB" default:"64" help:"Disk that is left free, MiB; below it nothing more is accepted."`
	TLSListen   string   `name:"tls-listen" env:"COURTYARD_TLS_LISTEN" placeholder:"ADDRESS" help:"Where to listen for HTTPS, and for TURN over TLS on the same port, such as :443. Empty: a proxy in front speaks HTTPS."`
	TLSCert     string   `name:"tls-certificate" env:"COURTYARD_TLS_CERTIFICATE" type:"path" placeholder:"FILE" help:"The certificate and those that vouch for it, PEM. Read again when it changes."`
	TLSKey      string   `name:"tls-key" env:"COURTYARD_TLS_KEY" type:"path" placeholder:"FILE" help:"The certificate's key, PEM."`
	CallsConfig
	Version string `kong:"-"`
}

// CallsConfig is what an operator may set about STUN and TURN.
type CallsConfig struct {
	Turn          string   `env:"COURTYARD_TURN" default:"auto" placeholder:"on|off|auto" help:"STUN and TURN, which calls need: on, off, or auto: on unless its ports are taken or --turn-server names another."`
	TurnListen    []string `name:"turn-listen" env:"COURTYARD_TURN_LISTEN" placeholder:"IP[:PORT]" help:"Where to listen for STUN and TURN: one IPv4 and one IPv6 address of this machine, UDP and TCP port 3478, and UDP on the next port. Without it: what --listen and --host suggest."`
	TurnPorts     string   `name:"turn-ports" env:"COURTYARD_TURN_PORTS" default:"49152-65535" placeholder:"FROM-TO" help:"UDP ports of what is relayed; open them in the firewall."`
	PublicIP      []string `name:"public-ip" env:"COURTYARD_PUBLIC_IP" placeholder:"IP" help:"The address under which the internet sees this machine, where that is not its own: behind a vendor's 1:1 NAT, in a container."`
	TurnReach     []string `name:"turn-reach" env:"COURTYARD_TURN_REACH" placeholder:"CIDR" help:"Networks besides the public internet to which TURN may relay. None by default: whoever lives here could reach what is in them, and what this machine itself serves there."`
	TurnServer    []string `name:"turn-server" env:"COURTYARD_TURN_SERVER" placeholder:"URL" help:"Another TURN server to send people to, such as turn:turn.example:3478?transport=udp; needs --turn-secret and --turn off or auto."`
	TurnSecret    string   `name:"turn-secret" env:"COURTYARD_TURN_SECRET" placeholder:"TEXT" help:"What that server knows as static-auth-secret (coturn's use-auth-secret). COURTYARD_TURN_SECRET_FILE names a file that holds it."`
	TurnBandwidth int64    `name:"turn-bandwidth" env:"COURTYARD_TURN_BANDWIDTH" default:"20" placeholder:"MBIT/S" help:"What is relayed for one person at most, in both directions together. 0: no limit."`
	TurnMonthGiB  int64    `name:"turn-month-gib" env:"COURTYARD_TURN_MONTH_GIB" default:"100" placeholder:"GIB" help:"What is relayed for one person in a calendar month at most; it crosses this machine's network twice. 0: no limit."`
}

// settled is a Config that has been checked.
type settled struct {
	hosts   []string // the first is the public one
	origins []string
	proxies []netip.Prefix
	reach   []netip.Prefix // besides the public internet
	// pushHosts are push services besides the browsers' own
	pushHosts []string
	limits    space.Limits
	reserve   int64
	calls     calls
}

// Check reports the first setting that cannot be, in a sentence.
func (c *Config) Check() error {
	_, err := c.settle("1")
	return err
}

// settle checks everything. port is the one listened on, which --listen may
// have left to the system.
func (c *Config) settle(port string) (settled, error) {
	var s settled
	listenHost, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return s, fmt.Errorf("--listen %q is not ADDRESS:PORT", c.Listen)
	}
	if s.hosts, err = hosts(c.Host, listenHost, port); err != nil {
		return s, err
	}
	for _, origin := range c.AllowOrigin {
		u, err := url.Parse(origin)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return s, fmt.Errorf("--allow-origin %q is not like https://app.example", origin)
		}
		s.origins = append(s.origins, strings.ToLower(u.Scheme+"://"+u.Host))
	}
	if s.proxies, err = networks("--trust-proxy", c.TrustProxy); err != nil {
		return s, err
	}
	if s.reach, err = networks("--reach", c.Reach); err != nil {
		return s, err
	}
	for _, text := range c.PushHost {
		host, err := protocol.ParseHost(text)
		if err != nil {
			return s, fmt.Errorf("--push-host %q is not HOST or HOST:PORT", text)
		}
		s.pushHosts = append(s.pushHosts, host)
	}
	if c.SpaceMiB < 1 || c.SpaceMiB > 1<<20 || c.ReserveMiB < 0 || c.ReserveMiB > 1<<20 {
		return s, fmt.Errorf("--space-mib must be 1 to 1048576, --reserve-mib 0 to 1048576")
	}
	if c.Database != "" && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		return s, fmt.Errorf("--database must be a postgres:// URL; SQLite needs none")
	}
	if (c.TLSListen == "") != (c.TLSCert == "") || (c.TLSCert == "") != (c.TLSKey == "") {
		return s, fmt.Errorf("--tls-listen, --tls-certificate and --tls-key belong together: set all three or none")
	}
	if s.calls, err = c.CallsConfig.settle(); err != nil {
		return s, err
	}
	s.limits, s.reserve = space.Defaults(), c.ReserveMiB<<20
	s.limits.Person = c.SpaceMiB << 20
	return s, nil
}

// networks reads what a flag names; an address alone is a network of one.
func networks(flag string, texts []string) ([]netip.Prefix, error) {
	out := []netip.Prefix{}
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, single := netip.ParseAddr(text)
			if single != nil {
				return nil, fmt.Errorf("%s %q is not a network such as 10.0.0.0/8", flag, text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, prefix)
	}
	return out, nil
}

// hosts are the names under which clients may know this relay. This machine's own
// address has three spellings; 127.0.0.2 and the like are others' addresses.
func hosts(public, listen, port string) ([]string, error) {
	if public == "" {
		addr, err := netip.ParseAddr(listen)
		switch {
		case listen == "" || err == nil && addr.IsUnspecified():
			public = "localhost"
		case err == nil && addr.Is6():
			public = "[" + listen + "]"
		default:
			public = listen
		}
		public += ":" + port
	}
	first, err := protocol.ParseHost(public)
	if err != nil {
		return nil, fmt.Errorf("--host %q is not HOST or HOST:PORT", public)
	}
	all := []string{first}
	name, n, err := protocol.SplitHost(first)
	if err != nil {
		return nil, err
	}
	spellings := []string{"localhost", "127.0.0.1", "::1"}
	if slices.Contains(spellings, name) {
		for _, spelling := range spellings {
			if host := protocol.JoinHost(spelling, n); host != first {
				all = append(all, host)
			}
		}
	}
	return all, nil
}

// patterns writes hosts and origins as the websocket library matches them.
func (s settled) patterns() []string {
	escape := strings.NewReplacer("[", `\[`, "]", `\]`)
	out := []string{}
	for _, text := range append(append([]string{}, s.hosts...), s.origins...) {
		out = append(out, escape.Replace(text))
	}
	return out
}

// port is the port of a listener's address, for the ready line.
func port(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return strconv.Itoa(tcp.Port)
	}
	return ""
}
