package subject_test

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/banyan-fig/banyan/proxy/subject"
)

// TestReadme: each route file in README.md is what it says.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 8 {
		t.Errorf("%d route files", len(blocks))
	}
	for _, b := range blocks {
		var file struct {
			Trusted []string `yaml:"trustedPeers"`
			Subject subject.Config
		}
		if err := yaml.UnmarshalWithOptions([]byte(b[1]), &file, yaml.Strict()); err != nil {
			t.Errorf("%v in\n%s", err, b[1])
			continue
		}
		for _, p := range file.Trusted {
			file.Subject.TrustedPeers = append(file.Subject.TrustedPeers, netip.MustParsePrefix(p))
		}
		file.Subject.Env = func(name string) (string, bool) {
			if name == "JWT_SECRET" {
				return base64.StdEncoding.EncodeToString([]byte(secret)), true
			}
			return "https://example.com", true
		}
		if err := file.Subject.CheckEnvironment(); err != nil {
			t.Errorf("%v in\n%s", err, b[1])
		}
	}
}

// TestMistakes: each is told at its place, as long as the file alone shows it.
func TestMistakes(t *testing.T) {
	env := map[string]string{"SECRET": secret, "SHORT": "short", "BAD": "ssm:", "REF": "ssm:/a"}
	for text, want := range map[string]string{
		`{}`:                         `[1:1] subject: it needs`,
		`{jwtSecretEnv: 1, typo: 2}`: `unknown field "typo"`,
		`{jwtSecretEnv: A, sources: [{header: X, trusted: true}]}`:                           `[1:16] subject.jwtSecretEnv`,
		`sources: [{header: X}]`:                                                             `one of jwt, lookup and trusted`,
		`sources: [{trusted: true}]`:                                                         `subject.sources[0].trusted: it needs a header`,
		`sources: [{cookie: c, scheme: Token, lookup: {url: http://a}}]`:                     `[1:31] subject.sources[0].scheme`,
		`sources: [{jwt: {keys: [{env: SECRET}]}}]`:                                          `no algorithms`,
		`sources: [{jwt: {algorithms: [none], keys: [{env: SECRET}]}}]`:                      `[1:30] subject.sources[0].jwt.algorithms: unknown algorithm "none"`,
		`sources: [{jwt: {algorithms: [HS256, RS256], keys: [{env: SECRET}]}}]`:              `keep them apart`,
		`sources: [{jwt: {algorithms: [HS256]}}]`:                                            `subject.sources[0].jwt.keys: it needs keys`,
		`sources: [{jwt: {algorithms: [HS256], keys: [{env: A, file: B}]}}]`:                 `one of env, reference, file and jwks`,
		`sources: [{jwt: {algorithms: [HS256], keys: [{jwks: http://a}]}}]`:                  `secrets cannot come from a JWK set`,
		`sources: [{jwt: {algorithms: [RS256], keys: [{reference: /a}]}}]`:                   `subject.sources[0].jwt.keys[0]: not a reference`,
		`sources: [{jwt: {algorithms: [HS256], claim: /a~2, keys: [{env: SECRET}]}}]`:        `claim "/a~2"`,
		`sources: [{jwt: {algorithms: [HS256], skew: soon, keys: [{env: SECRET}]}}]`:         `[1:45] invalid duration`,
		`sources: [{jwt: {algorithms: [HS256], minSecretBytes: -1, keys: [{env: SECRET}]}}]`: `must not be negative`,
		`sources: [{jwt: {algorithms: [HS256], minSecretBytes: 6, keys: [{env: SHORT}]}}]`:   `here 6 as it was set, not 5`,
		`sources: [{lookup: {method: GET}}]`:                                                 `it needs a url`,
		`sources: [{lookup: {url: http://a, method: PUT}}]`:                                  `use GET or POST`,
		`sources: [{lookup: {url: http://a, method: GET, parameter: token}}]`:                `it needs the method POST`,
		`sources: [{lookup: {url: http://a, authorizationEnv: SECRET}}]`:                     `it needs a parameter`,
		`sources: [{lookup: {url: http://a, ttl: -1s}}]`:                                     `invalid duration "-1s"`,
		// What the environment shows:
		`jwtSecretEnv: NONE`:                      `subject.jwtSecretEnv: environment variable NONE is not set`,
		`jwtSecretEnv: SHORT`:                     `environment variable SHORT: the token secret must have at least 32 bytes, not 5`,
		`jwtSecretEnv: BAD`:                       `environment variable BAD: not a reference`,
		`jwtSecretEnv: REF`:                       ``,
		`sources: [{lookup: {url: "${NONE}/x"}}]`: `subject.sources[0]: environment variable NONE is not set`,
		`sources: [{lookup: {url: "ftp://x"}}]`:   `invalid address "ftp://x"`,
		`sources: [{jwt: {algorithms: [RS256], keys: [{env: SECRET}]}}]`:                   `public keys in PEM`,
		`sources: [{jwt: {algorithms: [HS256], keys: [{file: "${NONE}"}]}}]`:               `subject.sources[0].jwt.keys[0]: environment variable NONE`,
		`sources: [{header: X, trusted: true}]`:                                            `no peer is trusted`,
		`sources: [{jwt: {algorithms: [HS256], minSecretBytes: 5, keys: [{env: SHORT}]}}]`: ``,
	} {
		var cfg subject.Config
		err := yaml.UnmarshalWithOptions([]byte(text), &cfg, yaml.Strict())
		if err == nil {
			cfg.Env = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
			if err = cfg.CheckEnvironment(); err != nil && !errors.As(err, new(*subject.FieldError)) {
				t.Errorf("%s: %T without a place", text, err)
			}
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
