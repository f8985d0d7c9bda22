// Package deploytest checks the files people deploy with: the Dockerfile, docker-compose.yml and
// the manifests under deploy/. It has tests only.
//
// Each kind of file has one function that returns what is wrong with it, in plain words:
//
//	problemsOfDockerfile    dockerfile_test.go
//	problemsOfCompose       compose_test.go
//	problemsOfManifest      kubernetes_test.go
//	problemsOfRendered      rendered_test.go    what kustomize and helm write
//	problemsOfUnit          systemd_test.go
//	problemsOfWorkflow      workflows_test.go
//	problemsOfGrafana       grafana_test.go
//	problemsOfFilesTable    readme_test.go      which file was verified by what
//
// The test of a file wants no problem in it as it stands, and has a table of small breakages of that
// same file, one per rule, each of which must be found. A rule that cannot fail would show there.
//
// The variables that the files set are read by package config itself (names_test.go), so a value that monite-proxy
// would refuse at its start, or warn of, is found here too. Checks that need a tool from outside
// (an image build, schemas, the compose reader) are in deploy/verify.sh.
package deploytest
