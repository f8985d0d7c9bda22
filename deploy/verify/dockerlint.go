//go:build ignore

// Command dockerlint runs BuildKit's own Dockerfile rules, those of "docker build --check", without an engine.
// verify.sh builds it in a throw-away module. Base images are not looked up.
//
//	dockerlint Dockerfile
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
)

// offline returns an empty configuration for every image.
type offline struct{}

func (offline) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config := []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers"}}`)
	return ref, digest.FromBytes(config), config, nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: dockerlint Dockerfile")
	}
	content, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	results, err := dockerfile2llb.DockerfileLint(context.Background(), content, dockerfile2llb.ConvertOpt{
		MetaResolver: offline{},
		SourceMap:    &llb.SourceMap{Filename: os.Args[1], Data: content, Definition: &llb.Definition{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range results.Warnings {
		line := int32(0)
		if ranges := w.Location.GetRanges(); len(ranges) > 0 {
			line = ranges[0].GetStart().GetLine()
		}
		fmt.Printf("%s:%d: %s: %s\n", os.Args[1], line, w.RuleName, w.Detail)
	}
	if results.Error != nil {
		log.Fatal(results.Error.Message)
	}
	if len(results.Warnings) > 0 {
		os.Exit(1)
	}
}
