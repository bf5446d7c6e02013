package router

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	ssdpPort   = 1900
	searching  = time.Second
	maxXML     = 256 << 10
	maxDevices = 32 // in one description
)

// wan are the services that map ports, the better ones first.
var wan = []string{
	"urn:schemas-upnp-org:service:WANIPConnection:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
	"urn:schemas-upnp-org:service:WANPPPConnection:1",
}

// igd is UPnP's Internet Gateway Device. What answers must be the gateway itself,
// and everything it names must be there, too: other machines of the network have
// no say.
type igd struct {
	gateway, local netip.Addr
	search         netip.AddrPort
	service        string   // once found
	control        *url.URL // once found
}

func (g *igd) add(ctx context.Context, protocol string, port uint16, _ *Mapping) (Mapping, error) {
	m := Mapping{By: "upnp", Protocol: protocol}
	if g.control == nil {
		if err := g.find(ctx); err != nil {
			return m, fmt.Errorf("upnp: %w", err)
		}
	}
	said, err := g.act(ctx, "GetExternalIPAddress", nil)
	if err != nil {
		return m, fmt.Errorf("upnp: %w", err)
	}
	address, err := netip.ParseAddr(said["NewExternalIPAddress"])
	if err != nil {
		return m, fmt.Errorf("upnp: no address: %w", err)
	}
	lease := lasting
	ask := func() error {
		_, err := g.act(ctx, "AddPortMapping", []argument{{"NewRemoteHost", ""}, {"NewExternalPort", strconv.Itoa(int(port))}, {"NewProtocol", strings.ToUpper(protocol)},
			{"NewInternalPort", strconv.Itoa(int(port))}, {"NewInternalClient", g.local.String()}, {"NewEnabled", "1"},
			{"NewPortMappingDescription", "Courtyard"}, {"NewLeaseDuration", strconv.Itoa(int(lease / time.Second))}})
		return err
	}
	if err := ask(); err != nil {
		if fault := (fault{}); !errors.As(err, &fault) || fault.code != onlyPermanent {
			return m, fmt.Errorf("upnp: %w", err)
		}
		lease = 0
		if err := ask(); err != nil {
			return m, fmt.Errorf("upnp: %w", err)
		}
	}
	m.External, m.Until = netip.AddrPortFrom(address.Unmap(), port), time.Now().Add(lasting)
	return m, nil
}

func (g *igd) remove(ctx context.Context, m Mapping, _ uint16) error {
	_, err := g.act(ctx, "DeletePortMapping", []argument{{"NewRemoteHost", ""}, {"NewExternalPort", strconv.Itoa(int(m.External.Port()))}, {"NewProtocol", strings.ToUpper(m.Protocol)}})
	return err
}

// find asks the gateway alone (unicast M-SEARCH, UPnP 1.1) where its description is.
func (g *igd) find(ctx context.Context) error {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(searching)); err != nil {
		return err
	}
	ask := "M-SEARCH * HTTP/1.1\r\nHOST: " + g.search.String() + "\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
	if _, err := conn.WriteToUDPAddrPort([]byte(ask), g.search); err != nil {
		return err
	}
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return err
		}
		if from.Addr().Unmap() != g.gateway {
			continue
		}
		at, err := location(buffer[:n])
		if err != nil {
			continue // something else that it offers
		}
		if err := g.describe(ctx, at); err == nil {
			return nil
		}
	}
}

// location reads where an answer to M-SEARCH says that the description is.
func location(raw []byte) (*url.URL, error) {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw)))
	first, err := r.ReadLine()
	if err != nil || !strings.HasPrefix(first, "HTTP/1.1 200") {
		return nil, errors.New("not an answer")
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	return url.Parse(header.Get("Location"))
}

// description is what matters in a device's own.
type description struct {
	Base   string `xml:"URLBase"`
	Device device `xml:"device"`
}

type device struct {
	Services []struct {
		Type    string `xml:"serviceType"`
		Control string `xml:"controlURL"`
	} `xml:"serviceList>service"`
	Devices []device `xml:"deviceList>device"`
}

func (g *igd) describe(ctx context.Context, at *url.URL) error {
	raw, err := g.http(ctx, http.MethodGet, at, "", nil)
	if err != nil {
		return err
	}
	d, err := parseDescription(raw)
	if err != nil {
		return err
	}
	base := at
	if d.Base != "" {
		if base, err = at.Parse(d.Base); err != nil {
			return err
		}
	}
	for _, want := range wan {
		if path, ok := d.Device.control(want, new(int)); ok {
			if g.control, err = base.Parse(path); err != nil {
				return err
			}
			g.service = want
			return nil
		}
	}
	return errors.New("the gateway maps no ports")
}

func parseDescription(raw []byte) (description, error) {
	var d description
	return d, xml.Unmarshal(raw, &d)
}

func (d device) control(service string, seen *int) (string, bool) {
	if *seen++; *seen > maxDevices {
		return "", false
	}
	for _, s := range d.Services {
		if s.Type == service {
			return s.Control, true
		}
	}
	for _, inner := range d.Devices {
		if path, ok := inner.control(service, seen); ok {
			return path, true
		}
	}
	return "", false
}

// onlyPermanent: the router knows no leases. What it maps is taken back at the end, as all is.
const onlyPermanent = "725"

// fault is a refusal of the gateway.
type fault struct {
	status int
	code   string
}

func (f fault) Error() string {
	return fmt.Sprintf("%v (status %d, error %q)", errRefused, f.status, f.code)
}
func (f fault) Unwrap() error { return errRefused }

type argument struct{ name, value string }

// act calls an action of the service and returns what it says.
func (g *igd) act(ctx context.Context, action string, arguments []argument) (map[string]string, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>`)
	fmt.Fprintf(&b, `<u:%s xmlns:u="%s">`, action, g.service)
	for _, a := range arguments {
		fmt.Fprintf(&b, "<%s>%s</%s>", a.name, a.value, a.name) // names, numbers and addresses
	}
	fmt.Fprintf(&b, `</u:%s></s:Body></s:Envelope>`, action)
	raw, err := g.http(ctx, http.MethodPost, g.control, `"`+g.service+"#"+action+`"`, b.Bytes())
	if err != nil {
		return nil, err
	}
	return texts(raw)
}

// texts collects the elements that hold text alone, by name.
func texts(raw []byte) (map[string]string, error) {
	out := map[string]string{}
	d := xml.NewDecoder(bytes.NewReader(raw))
	name := ""
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			name = t.Name.Local
		case xml.CharData:
			if name != "" && len(out) < 64 {
				out[name] += strings.TrimSpace(string(t))
			}
		case xml.EndElement:
			name = ""
		}
	}
}

// http speaks to the gateway and to nobody else, whatever a description names.
func (g *igd) http(ctx context.Context, verb string, at *url.URL, action string, body []byte) ([]byte, error) {
	host, err := netip.ParseAddr(at.Hostname())
	if err != nil || host != g.gateway || at.Scheme != "http" {
		return nil, fmt.Errorf("%q is not the gateway", at.Host)
	}
	req, err := http.NewRequestWithContext(ctx, verb, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if action != "" {
		req.Header.Set("SOAPAction", action)
		req.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxXML))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		said, err := texts(raw)
		if err != nil {
			said = nil
		}
		return nil, fault{answer.StatusCode, said["errorCode"]}
	}
	return raw, nil
}
