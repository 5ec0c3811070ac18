package initialize

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"certroll/examples"
)

// edit is a replacement in an example. old must be present: otherwise a changed example
// would be written without the replacement.
type edit struct{ old, with string }

func edited(name string, edits ...edit) ([]byte, error) {
	b, err := examples.Files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the example that certroll carries: %w", err)
	}
	text := string(b)
	for _, e := range edits {
		if !strings.Contains(text, e.old) {
			return nil, fmt.Errorf("the example %s that certroll carries has no %q", name, e.old)
		}
		text = strings.ReplaceAll(text, e.old, e.with)
	}
	return []byte(text), nil
}

// Pipeline returns the files of the host's CI, by path in the repository, from
// examples/ci. It includes the apply job only if certroll logs in to Vault from the
// pipeline, by a JWT; otherwise `certroll run` applies.
func (a *Answers) Pipeline() ([]File, error) {
	audience := a.Vault.Address
	if u, err := url.Parse(audience); err == nil {
		audience = u.Scheme + "://" + u.Hostname()
	}
	switch a.CI {
	case GitHub:
		return a.github(audience)
	case GitLab:
		return a.gitlab(audience)
	}
	return nil, nil
}

// applies reports whether the pipeline applies too.
func (a *Answers) applies() bool { return a.Vault.Auth == "jwt" }

func (a *Answers) github(audience string) ([]File, error) {
	files := []string{"check", "comment"}
	if a.applies() {
		files = append(files, "apply")
	}
	var out []File
	for _, name := range files {
		edits := []edit{{"change/certs", "change/" + a.Repo.Directory}}
		if name == "apply" {
			edits = []edit{{"https://vault.example.com", audience}, {"branches: [main]", "branches: " + list([]string{a.Repo.Ref})}, {"refs/heads/main", "refs/heads/" + a.Repo.Ref}}
		}
		b, err := edited("ci/github/"+name+".yml", edits...)
		if err != nil {
			return nil, err
		}
		out = append(out, File{path.Join(".github/workflows", "certroll-"+name+".yml"), b})
	}
	return out, nil
}

func (a *Answers) gitlab(audience string) ([]File, error) {
	b, err := edited("ci/gitlab/gitlab-ci.yml", edit{"--config-dir certs ", "--config-dir " + a.Repo.Directory + " "},
		edit{"/tmp/certroll.hcl certs\n", "/tmp/certroll.hcl " + a.Repo.Directory + "\n"}, edit{"https://vault.example.com", audience})
	if err != nil {
		return nil, err
	}
	if !a.applies() {
		before, _, found := strings.Cut(string(b), "\napply:\n")
		if !found {
			return nil, fmt.Errorf("the example ci/gitlab/gitlab-ci.yml that certroll carries has no job apply")
		}
		b = []byte(strings.Replace(before, "stages: [check, comment, apply]", "stages: [check, comment]", 1))
	}
	return []File{{".gitlab-ci.yml", b}}, nil
}

// Trusted returns the certroll.hcl in the config repo's root, with which the host's CI
// checks changes; nil without a pipeline.
func (a *Answers) Trusted(settings []byte) []File {
	if a.CI == NoCI {
		return nil
	}
	note := "# CI checks pull requests with this copy, read from the base branch: a pull request\n" +
		"# cannot change its own limits. Protect it and the pipeline by CODEOWNERS. certroll run\n# uses the certroll.hcl on its own machine.\n\n"
	if a.applies() {
		note = ""
	}
	return []File{{"certroll.hcl", append([]byte(note), settings...)}}
}
