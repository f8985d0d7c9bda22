//go:build ignore

// Command composecheck reads compose files as docker compose does (it is the same library) and says what is wrong.
// verify.sh builds it in a throw-away module when docker compose itself is not there.
//
//	composecheck [--env-file file] [-f compose.yml ...]      without -f: COMPOSE_FILE, also from the file of variables
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	log.SetFlags(0)
	envFile := flag.String("env-file", "", "file of variables for interpolation")
	var files []string
	flag.Func("f", "compose file; later ones override earlier ones", func(file string) error {
		files = append(files, file)
		return nil
	})
	flag.Parse()
	profiles := []string{"*"} // those that are not asked for are checked too
	options := []cli.ProjectOptionsFn{cli.WithInterpolation(true), cli.WithResolvedPaths(true), cli.WithProfiles(profiles)}
	if *envFile != "" {
		options = append(options, cli.WithEnvFiles(*envFile), cli.WithDotEnv)
	}
	options = append(options, cli.WithConfigFileEnv)
	o, err := cli.NewProjectOptions(files, options...)
	if err != nil {
		log.Fatal(err)
	}
	project, err := o.LoadProject(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("services:", project.ServiceNames())
}
