// Command coredns is CoreDNS with the plugins that a cluster's own names need, and no others.
package main

import (
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

func main() {
	// The order in which a query passes the plugins, as in CoreDNS' own plugin.cfg.
	dnsserver.Directives = []string{"health", "ready", "errors", "template", "kubernetes"}
	coremain.Run()
}
