package push

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
)

// vendors are the hosts of the browsers' push services; a leading dot stands for
// every name below. Nothing else is ever sent to, unless the operator names it.
var vendors = []string{
	// Chrome, Edge on Android, Samsung Internet, Opera, Brave, Vivaldi:
	// https://firebase.google.com/docs/cloud-messaging (endpoints are fcm.googleapis.com/fcm/send/… and /wp/…)
	"fcm.googleapis.com",
	// Firefox: https://mozilla-services.github.io/autopush-rs/ (updates.push.services.mozilla.com/wpush/v2/…)
	".push.services.mozilla.com",
	// Safari, and every browser of an iPhone:
	// https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers
	".push.apple.com",
	// Edge on Windows:
	// https://learn.microsoft.com/windows/apps/design/shell/tiles-and-notifications/firewall-allowlist-config
	".notify.windows.com",
}

// longestEndpoint bounds one, characters.
const longestEndpoint = 1024

// checkEndpoint says whether a push may be sent there. Codes: bad-request if it
// is no endpoint at all, address-refused if the host is not on the list.
func (r *Room) checkEndpoint(endpoint string) (*url.URL, error) {
	const op = "push.endpoint"
	if len(endpoint) > longestEndpoint {
		return nil, protocol.Refuse(op, protocol.CodeBadRequest, "endpoint too long")
	}
	for _, c := range []byte(endpoint) {
		if c <= ' ' || c >= 0x7f {
			return nil, protocol.Refuse(op, protocol.CodeBadRequest, "endpoint not plain")
		}
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "" || u.Opaque != "" || len(u.Path) < 2 {
		return nil, protocol.Refuse(op, protocol.CodeBadRequest, "no endpoint")
	}
	if !allowed(u, r.config.Hosts) {
		return nil, protocol.Refuse(op, protocol.CodeAddressRefused, "not a push service")
	}
	return u, nil
}

func allowed(u *url.URL, operators []string) bool {
	// One form only: what is compared here is what is dialled.
	host, err := protocol.ParseHost(u.Host)
	if err != nil || u.Host != strings.ToLower(u.Host) || strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Scheme == "https" && (u.Port() == "" || u.Port() == "443") {
		name := u.Hostname()
		for _, vendor := range vendors {
			if below := vendor[0] == '.'; !below && name == vendor || below && strings.HasSuffix(name, vendor) && len(name) > len(vendor) {
				return true
			}
		}
	}
	if !slices.Contains(operators, host) {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}
