// Package frontend carries the built app into the relay's binary.
//
// A clean clone compiles without the app having been built; Dist then says so. The package must never
// hold behaviour: what is served, and with which headers, is decided in relay/internal/web.
package frontend

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var files embed.FS

// Dist is the built app, rooted at its index.html. The bool is false when `npm run build` has not been run.
func Dist() (fs.FS, bool) {
	dist, err := fs.Sub(files, "dist")
	if err != nil { // the directory is named in the embed line above
		panic(err)
	}
	_, err = fs.Stat(dist, "index.html")
	return dist, err == nil
}
