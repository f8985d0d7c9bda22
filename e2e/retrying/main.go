// Command retrying sends one POST by a client that repeats, as the client does by
// itself. It is a module of its own: nothing of monite-proxy needs these clients.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"
)

func main() {
	name, url := os.Args[1], os.Args[2]
	switch name {
	case "retryablehttp":
		client := retryablehttp.NewClient()
		client.Logger, client.RetryWaitMin, client.RetryWaitMax = nil, 5*time.Millisecond, 20*time.Millisecond
		response, err := client.Post(url, "application/json", strings.NewReader("{}"))
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = response.Body.Close()
		fmt.Println(response.StatusCode)
	case "resty":
		client := resty.New().SetRetryCount(3).SetRetryWaitTime(5 * time.Millisecond).SetRetryMaxWaitTime(20 * time.Millisecond).
			AddRetryCondition(func(r *resty.Response, err error) bool { return err != nil || r.StatusCode() >= 500 })
		response, err := client.R().SetBody("{}").Post(url)
		fmt.Println(response.StatusCode(), err)
	default:
		fmt.Fprintln(os.Stderr, "no client", name)
		os.Exit(2)
	}
}
