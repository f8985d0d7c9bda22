package listen

const (
	fewDescriptors  = 256 // what macOS gives by default
	manyDescriptors = 1 << 20

	// maxConns of a listener for apps. Each may hold a head of 64 KiB until it is
	// looked at.
	maxConns = 4096
	// Admin serves probes, scrapes and a few people; vend a backend's token requests.
	maxAdminConns = 64
	maxVendConns  = 128
)

// Shares say how many connections each kind of listener may have, so that none of
// them uses up the descriptors that requests of apps need: one here and one to
// upstream.
type Shares struct {
	App      int // of each listener for apps
	Admin    int
	Vend     int
	Upstream int
}

// SharesOf divides the descriptors of the process. inFlight requests may be under way
// at once; appListeners is the number of listeners for apps.
func SharesOf(inFlight, appListeners int) Shares {
	return sharesOf(descriptors(), inFlight, appListeners)
}

// sharesOf divides descriptors. Of 256, with one listener, 64 stay for files, mints,
// name lookups and the traces, 16 for admin, 16 for vend, 64 for upstream and 96 for
// apps.
func sharesOf(all, inFlight, appListeners int) Shares {
	s := Shares{
		App:   max(maxConns, inFlight+inFlight/4),
		Admin: max(min(maxAdminConns, all/16), 4), Vend: max(min(maxVendConns, all/16), 4),
		Upstream: max(min(inFlight, maxUpstream, all/4), 4),
	}
	left := all - all/4 - s.Admin - s.Vend - s.Upstream
	if all > 4*reserved {
		left = all - reserved - s.Admin - s.Vend - s.Upstream
	}
	s.App = max(min(s.App, left/max(appListeners, 1)), 4)
	return s
}

const (
	// reserved are the descriptors for everything that is not a connection of an app,
	// of the admin or vend listener, or to upstream.
	reserved = 64
	// maxUpstream keeps the connections to upstream well within what it takes from one
	// client.
	maxUpstream = 1024
)
