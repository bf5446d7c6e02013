package signal

import (
	"encoding/json"
	"strconv"

	"github.com/courtyard-social/courtyard/protocol"
)

// request is a frame from a client after auth. Which fields an op has is
// checked where it is handled.
type request struct {
	Op  string          `json:"op"`
	For []protocol.UID  `json:"for,omitempty"`
	Env json.RawMessage `json:"env,omitempty"`
	N   int64           `json:"n,omitempty"`
	// Device is which of the own ones is asked about.
	Device protocol.DeviceID `json:"device,omitempty"`
	// Quiet: nobody need be woken for it (section 16).
	Quiet bool `json:"quiet,omitempty"`
	// Unsure: by the writer's own clock it is dated ahead (section 14).
	Unsure bool `json:"unsure,omitempty"`
	// Ring: a live letter that begins a call, for which a device that sleeps is
	// woken; Reach: one that is worth opening a link to another relay (section 17).
	Ring  bool `json:"ring,omitempty"`
	Reach bool `json:"reach,omitempty"`
}

// requestDepth: the frame, the envelope and its addresses, and some for keys
// that this version does not know.
const requestDepth = 6

func parseRequest(raw []byte) (request, error) {
	var r request
	err := protocol.DecodeOpen(raw, &r, requestDepth)
	return r, err
}

// idOf finds the id of an envelope that does not parse, so that its sender
// learns which one was refused.
func idOf(env []byte) protocol.ID {
	var only struct {
		ID protocol.ID `json:"id"`
	}
	if protocol.DecodeOpen(env, &only, requestDepth) != nil {
		return protocol.ID{}
	}
	return only.ID
}

func acceptedFrame(id protocol.ID, kept []protocol.UID) []byte {
	out := append(make([]byte, 0, 160), `{"op":"accepted","id":"`...)
	out = append(out, id.String()...)
	out = append(out, `","kept":[`...)
	for i, uid := range kept {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, uid.String()...)
		out = append(out, '"')
	}
	return append(out, `]}`...)
}

// refusedFrame answers a put, or, without an id, anything else that is wrong.
func refusedFrame(id protocol.ID, err error) []byte {
	out := append(make([]byte, 0, 160), `{"op":"refused"`...)
	if !id.IsZero() {
		out = append(out, `,"id":"`...)
		out = append(out, id.String()...)
		out = append(out, '"')
	}
	out = append(out, `,"code":"`...)
	out = append(out, protocol.CodeOf(err)...)
	out = append(out, `","params":`...)
	out = append(out, encode(paramsOf(err))...)
	return append(out, '}')
}

// declinedFrame answers a question that is not answered: unlike a refusal without
// an id it ends nothing.
func declinedFrame(r request, err error) []byte {
	out := append(make([]byte, 0, 160), `{"op":"`...)
	out = append(out, r.Op...)
	if !r.Device.IsZero() {
		out = append(out, `","device":"`...)
		out = append(out, r.Device.String()...)
	}
	out = append(out, `","code":"`...)
	out = append(out, protocol.CodeOf(err)...)
	out = append(out, `","params":`...)
	out = append(out, encode(paramsOf(err))...)
	return append(out, '}')
}

func paramsOf(err error) map[string]any {
	if e, ok := asError(err); ok && e.Params != nil {
		return e.Params
	}
	return map[string]any{}
}

func eventFrame(what string, params map[string]any) []byte {
	out := append(make([]byte, 0, 128), `{"op":"event","what":"`...)
	out = append(out, what...)
	out = append(out, `","params":`...)
	out = append(out, encode(params)...)
	return append(out, '}')
}

func deliverFrame(n int64, env []byte) []byte {
	out := append(make([]byte, 0, len(env)+48), `{"op":"deliver","n":`...)
	out = strconv.AppendInt(out, n, 10)
	out = append(out, `,"env":`...)
	out = append(out, env...)
	return append(out, '}')
}

func liveFrame(env []byte) []byte {
	out := append(make([]byte, 0, len(env)+24), `{"op":"live","env":`...)
	out = append(out, env...)
	return append(out, '}')
}

// encode writes params, which are words and numbers made by the relay itself.
func encode(params map[string]any) []byte {
	raw, err := json.Marshal(params)
	if err != nil {
		panic("signal: params do not encode: " + err.Error())
	}
	return raw
}
