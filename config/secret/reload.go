package secret

// reading is the result of one read of a file.
type reading struct {
	value String
	err   error
}

// reload reads every file and then lets all of them take their new values at
// once. The caller holds w.mu.
func (w *Watcher) reload() Reload {
	for _, f := range w.Files {
		f.turn.Lock()
		defer f.turn.Unlock()
	}
	var report Reload
	readings, ok := readAlike(w.Files)
	if !ok {
		return report
	}
	swap.Lock()
	defer swap.Unlock()
	if w.failing == nil {
		w.failing = map[*File]string{}
	}
	for i, f := range w.Files {
		if err := readings[i].err; err != nil {
			if text := err.Error(); w.failing[f] != text {
				w.failing[f] = text
				report.Failed = append(report.Failed, err)
			}
			continue
		}
		if _, failed := w.failing[f]; failed {
			delete(w.failing, f)
			report.Recovered = append(report.Recovered, f)
		}
		if f.take(readings[i].value) {
			report.Changed = append(report.Changed, f)
		}
	}
	return report
}

// readAlike reads the files until two rounds agree. One round is not enough: it
// may read the id, then the directory is swapped, then it reads the secret, and
// a mint with that pair would be refused. Not ok: the files never rest; the
// events of the next change are on their way.
func readAlike(files []*File) (readings []reading, ok bool) {
	last := readAll(files)
	for range 10 {
		next := readAll(files)
		if alike(last, next) {
			return next, true
		}
		last = next
	}
	return nil, false
}

func alike(a, b []reading) bool {
	for i := range a {
		if !a[i].value.Equal(b[i].value) || (a[i].err == nil) != (b[i].err == nil) {
			return false
		}
	}
	return true
}

func readAll(files []*File) []reading {
	readings := make([]reading, len(files))
	for i, f := range files {
		readings[i].value, readings[i].err = f.read()
	}
	return readings
}
