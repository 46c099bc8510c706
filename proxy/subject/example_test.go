package subject_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/goccy/go-yaml"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/proxy/subject"
)

// The web client of this app has a session cookie, which only the app understands; its
// mobile client has a JWT with a user's number in it.
func Example() {
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("session"); err != nil || c.Value != "9f86d081" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"user": {"id": 7, "name": "Ada"}}`)
	}))
	defer legacy.Close()
	env := map[string]string{"LEGACY_URL": legacy.URL, "JWT_SECRET": "a secret of the monolith, 32 bytes"}

	var cfg subject.Config
	err := yaml.Unmarshal([]byte(`
sources:
  - jwt: {algorithms: [HS256], keys: [{env: JWT_SECRET}], claim: /user/id}
  - cookie: session
    lookup: {url: "${LEGACY_URL}/api/me", subject: /user/id}
`), &cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg.Env = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	settings := config.NewSettings()
	defer settings.Close()
	resolver, err := subject.Open(context.Background(), cfg, settings, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resolver.Close()

	r := httptest.NewRequest("GET", "/api/v1/orders", nil)
	fmt.Println(resolver.Resolve(r))
	r.Header.Set("Cookie", "theme=dark; session=9f86d081")
	s, err := resolver.Resolve(r)
	fmt.Println(s.ID, err)
	r.Header.Set("Cookie", "theme=dark; session=0")
	s, err = resolver.Resolve(r)
	fmt.Printf("%q %t %v\n", s.ID, err != nil, resolver.Reasons())
	// Output:
	// { } <nil>
	// 7 <nil>
	// "" true map[lookup-refused:1]
}
