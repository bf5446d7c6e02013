package push

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// payload is what a push says (section 16), sealed for the device.
type payload struct {
	V    int           `json:"v"`
	Kind string        `json:"kind"`          // chat, friend, call or test
	To   *protocol.UID `json:"to,omitempty"`  // whose device it is
	UID  *protocol.UID `json:"uid,omitempty"` // who wrote
	N    int           `json:"n"`             // letters since the device was last connected
}

// What became of a push.
const (
	whatSent    = "sent"
	whatGone    = "gone"    // the vendor no longer knows the subscription
	whatLater   = "later"   // too much, out of order or out of reach: to be tried again
	whatRefused = "refused" // the vendor, or our own list of hosts, will not have it
)

// outcome of one try.
type outcome struct {
	what   string
	host   string        // the vendor's
	status int           // the vendor's, 0: it did not answer
	wait   time.Duration // before the next try, as the vendor asks
	err    error
}

const (
	// sendWithin bounds one try.
	sendWithin = 10 * time.Second
	// answerMost of a vendor's answer is read, so that its connection can be used again.
	answerMost = 4 << 10
	// longestWait bounds what a vendor may ask for.
	longestWait = time.Hour
)

// send tries once.
func (r *Room) send(ctx context.Context, s *Subscription, what payload, ttl time.Duration) outcome {
	u, err := r.checkEndpoint(s.Endpoint)
	if err != nil {
		return outcome{what: whatRefused, err: err}
	}
	plain, err := protocol.Marshal(what)
	if err != nil {
		return r.defect(err)
	}
	body, err := seal(s, plain)
	if err != nil {
		return r.defect(err)
	}
	authorization, err := r.vapid.header(u)
	if err != nil {
		return r.defect(err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return r.defect(err)
	}
	h := req.Header
	h.Set("Authorization", authorization)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Encoding", "aes128gcm")
	h.Set("TTL", strconv.Itoa(int(ttl/time.Second)))
	h.Set("Urgency", "high") // a phone asleep is woken: somebody wrote to somebody
	res, err := r.config.Client.Do(req)
	if err != nil {
		// The client's error repeats the endpoint, which is a secret and has no place in a log.
		if said, ok := errors.AsType[*url.Error](err); ok {
			err = said.Err
		}
		if protocol.CodeOf(err) == protocol.CodeAddressRefused {
			return outcome{what: whatRefused, host: u.Host, err: err}
		}
		return outcome{what: whatLater, host: u.Host, err: err}
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, answerMost))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		r.config.Log.Debug("a vendor's answer was not read", "host", u.Host, "err", err)
	}
	came := judge(res)
	came.host = u.Host
	return came
}

func judge(res *http.Response) outcome {
	o := outcome{status: res.StatusCode}
	switch {
	case o.status/100 == 2:
		o.what = whatSent
	case o.status == http.StatusNotFound || o.status == http.StatusGone:
		o.what = whatGone
	case o.status == http.StatusTooManyRequests || o.status == http.StatusRequestTimeout || o.status/100 == 5:
		o.what = whatLater
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
			o.wait = min(time.Duration(min(seconds, 1<<20))*time.Second, longestWait)
		}
	default: // redirects as well: nobody is sent elsewhere
		o.what = whatRefused
	}
	return o
}

// defect is a try that failed before anything was sent.
func (r *Room) defect(err error) outcome {
	r.config.Log.Error("push not made", "err", err)
	return outcome{what: whatRefused, err: err}
}
