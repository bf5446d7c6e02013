package protocol_test

import (
	"testing"

	"github.com/courtyard-social/courtyard/scripts/mutation"
)

// TestWallMutations takes out the checks of the public wall, as TestMutations does
// with the others.
func TestWallMutations(t *testing.T) {
	var all []mutation.Mutation
	in := func(file, test string, list ...[3]string) {
		for _, m := range list {
			all = append(all, mutation.Mutation{What: m[0], File: "post/" + file, Edits: []mutation.Edit{{m[1], m[2]}}, Pkg: "post", Test: test,
				Quick: m[0] == "wall: stubs are accounted for"})
		}
	}
	in("change.go", "TestBadChanges",
		[3]string{"change: signature", "if !rec.Verify(label) {", "if false {"},
		[3]string{"change: no session signs", "if device, ok := chain.AuthorKey(rec.By, ts); !ok || device.Role == ident.RoleSession {", "if _, ok := chain.AuthorKey(rec.By, ts); !ok || ident.RoleSession == op {"},
		[3]string{"change: signer in the chain", "if device, ok := chain.AuthorKey(rec.By, ts); !ok || device.Role == ident.RoleSession {", "if device, _ := chain.AuthorKey(rec.By, ts); device.Role == ident.RoleSession {"},
		[3]string{"change: whose wall", "if uid != chain.UID() {", "if false {"},
		[3]string{"change: gone ascending", "if seq <= last || seq >= p.Seq {", "if _ = last; seq < 1 || seq >= p.Seq {"},
		[3]string{"change: gone earlier", "if seq <= last || seq >= p.Seq {", "if seq <= last {"},
		[3]string{"change: text in bytes", "case !within(*p.Text, 0, MaxText) || len(*p.Text) > MaxTextBytes:", "case !within(*p.Text, 0, MaxText):"},
		[3]string{"change: text in characters", "case !within(*p.Text, 0, MaxText) || len(*p.Text) > MaxTextBytes:", "case len(*p.Text) > MaxTextBytes:"},
		[3]string{"change: payload", "if len(rec.Payload) > MaxPayload {", "if false {"},
		[3]string{"change: fields of other ops", "case profile != (p.Name != nil), profile != (p.About != nil), !profile && p.Picture != nil:", "case profile != (p.About != nil):"},
		[3]string{"change: a photo twice", "if seen[photo.Hash] {", "if false {"},
	)
	in("walk.go", "TestWalks",
		[3]string{"wall: the head does not go back", "if head.Seq < w.head.Seq || head.TS < w.head.TS {", "if false {"},
		[3]string{"wall: the head's time does not go back", "if head.Seq < w.head.Seq || head.TS < w.head.TS {", "if head.Seq < w.head.Seq {"},
		[3]string{"wall: prev", "case c.Prev != nil && *c.Prev != w.hash:", "case false:"},
		[3]string{"wall: no change is left out", "case c.Seq != w.seq+1:", "case false:"},
		[3]string{"wall: time does not go back", "case c.TS < w.ts:", "case false:"},
		[3]string{"wall: stubs are accounted for", "case len(w.stubs) > 0:", "case false:"},
		[3]string{"wall: it ends at its head", "case w.seq != w.head.Seq || w.hash != w.head.Hash:", "case false:"},
		[3]string{"wall: the head's hash", "case w.seq != w.head.Seq || w.hash != w.head.Hash:", "case w.seq != w.head.Seq:"},
		[3]string{"wall: the head is not older than the last change", "case w.head.TS < w.ts:", "case false:"},
		[3]string{"wall: more is promised only before the end", "if len(page.Items) == 0 || w.seq >= w.head.Seq {", "if false {"},
		[3]string{"wall: whose page", "if w.ended || page.UID != w.chain.UID() {", "if w.ended {"},
	)
	in("jpeg.go", "TestJPEGs",
		[3]string{"photo: no thumbnail", `if len(body) != 14 || !bytes.HasPrefix(body, []byte(jfif)) || body[12] != 0 || body[13] != 0 {`, `if !bytes.HasPrefix(body, []byte(jfif)) {`},
		[3]string{"photo: APP2 is a colour profile", "if !bytes.HasPrefix(body, []byte(iccProfile)) {", "if false {"},
		[3]string{"photo: nothing behind it", "if at != len(raw) || scans == 0 {", "if scans == 0 {"},
		[3]string{"photo: other segments", `reason = "a segment that a photo does not need, or not baseline"`, ""},
		[3]string{"photo: pixels", "if width < 1 || width > MaxSide || height < 1 || height > MaxSide || width*height > MaxPixels {", "if width < 1 || width > MaxSide || height < 1 || height > MaxSide {"},
	)
	mutation.Run(t, all)
}
