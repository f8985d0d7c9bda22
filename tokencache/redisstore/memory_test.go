package redisstore

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// memory does what the scripts do, for bubbles: one thread, a service time per call,
// and faults. TestMemoryDoesWhatRedisDoes holds it to a real server.
type memory struct {
	service time.Duration // per call
	way     time.Duration // there and back

	mu      sync.Mutex // guards what follows
	data    map[string]held
	free    time.Time // when the thread has nothing to do
	down    error     // not nil: every call fails at once
	hangs   bool      // no call is answered, or done
	calls   []time.Time
	offset  time.Duration // of its clock
	slowest time.Duration
	stored  time.Time // when it got its first token
}

// held is one key.
type held struct {
	value string
	list  bool  // of another type
	ends  int64 // ms; 0: never
}

func newMemory() *memory { return &memory{data: map[string]held{}} }

func (m *memory) set(change func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *memory) run(ctx context.Context, s *script, keys []string, args ...any) (any, error) {
	m.mu.Lock()
	m.calls = append(m.calls, time.Now())
	if m.down != nil {
		defer m.mu.Unlock()
		return nil, m.down
	}
	if m.hangs {
		m.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	arrives := time.Now().Add(m.way / 2)
	if m.free.Before(arrives) {
		m.free = arrives
	}
	m.free = m.free.Add(m.service)
	wait := time.Until(m.free)
	m.slowest = max(m.slowest, wait)
	m.mu.Unlock()
	replies := make(chan any, 1)
	do := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		replies <- m.at(time.Now().Add(m.offset).UnixMicro(), s, keys, words(args))
	}
	if wait <= 0 && m.way == 0 {
		do()
		return result(<-replies)
	}
	time.AfterFunc(wait, do) // whoever asked may have gone: it is done all the same
	select {
	case reply := <-replies:
		pause := time.NewTimer(m.way / 2)
		defer pause.Stop()
		select {
		case <-pause.C:
			return result(reply)
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

func result(reply any) (any, error) {
	if err, ok := reply.(error); ok {
		return nil, err
	}
	return reply, nil
}

// words are arguments as the server sees them.
func words(args []any) (all []string) {
	for _, arg := range args {
		switch arg := arg.(type) {
		case []byte:
			all = append(all, string(arg))
		default:
			all = append(all, fmt.Sprint(arg))
		}
	}
	return all
}

// at does one script at the moment us. mu is held.
func (m *memory) at(us int64, s *script, keys, argv []string) any {
	ms := us / 1000
	maps.DeleteFunc(m.data, func(_ string, h held) bool { return h.ends != 0 && h.ends < ms })
	switch s {
	case askScript:
		kind, value, n := m.ask(us, keys, argv)
		return []any{[]byte(kind), ms, []byte(value), n}
	case tellScript:
		return []byte(m.tell(ms, keys, argv))
	case failedScript:
		return []byte(m.failed(ms, keys, argv))
	case claimScript:
		return m.claimRecord(ms, keys[0], argv)
	case lookScript:
		if m.data[keys[0]].list {
			return wrongType
		}
		value := m.data[keys[0]].value
		return []any{[]byte("there"), ms, []byte(value[:min(len(value), maxRecord)])}
	case settleScript:
		return m.settleRecord(ms, keys[0], argv)
	default:
		panic("no such script")
	}
}

var wrongType = &Error{Kind: "WRONGTYPE"}

func (m *memory) claimRecord(ms int64, key string, argv []string) any {
	h := m.data[key]
	if h.list {
		return wrongType
	}
	if head := h.value[:min(len(h.value), headLen)]; head != "" {
		switch claim := head[min(1, len(head)):min(33, len(head))]; {
		case claim == argv[0]:
			return []any{[]byte("mine"), ms, []byte("")}
		case claim != argv[1], head[0] == letterAnswered:
			return []any{[]byte("there"), ms, []byte(h.value[:min(len(h.value), maxRecord)])}
		}
	}
	if argv[5] != "0" && ms > number(argv[5]) {
		return []any{[]byte("late"), ms, []byte("")}
	}
	m.data[key] = held{value: fmt.Sprintf("p%s%013d%s", argv[0], ms+number(argv[3]), argv[2]), ends: ms + number(argv[3]) + number(argv[4])}
	return []any{[]byte("mine"), ms, []byte("")}
}

func (m *memory) settleRecord(ms int64, key string, argv []string) any {
	h := m.data[key]
	head := h.value[:min(len(h.value), headLen)]
	switch {
	case h.list:
		return wrongType
	case head[min(1, len(head)):min(33, len(head))] != argv[0]:
		return []byte("other")
	case argv[1] == "":
		delete(m.data, key)
	default:
		m.data[key] = held{value: argv[1], ends: ms + number(argv[2])}
	}
	return []byte("ok")
}

// get is GETRANGE of a string, and DEL of anything else.
func (m *memory) get(key string, most int) string {
	if m.data[key].list {
		delete(m.data, key)
	}
	value := m.data[key].value
	return value[:min(len(value), most+1)]
}

func (m *memory) pttl(key string, ms int64) int64 {
	switch h, ok := m.data[key]; {
	case !ok:
		return -2
	case h.ends == 0:
		return -1
	default:
		return h.ends - ms
	}
}

func (m *memory) verdict(key string, ms int64) (string, int64) {
	value, left := m.get(key, 511), m.pttl(key, ms)
	if value != "" && (left < 0 || left > 60000) {
		delete(m.data, key)
		return "", 0
	}
	return value, left
}

var onlyDigits = regexp.MustCompile(`^[0-9]+$`)

func (m *memory) ask(us int64, keys, argv []string) (kind, value string, n int64) {
	ms := us / 1000
	token := m.get(keys[0], 12287)
	if token != "" && argv[0] == token[:min(len(token), 25)] {
		if argv[1] == "1" {
			delete(m.data, keys[0])
		}
		token = ""
	}
	if token != "" {
		return "token", token, m.pttl(keys[0], ms)
	}
	if held := m.pttl(keys[1], ms); held > 0 && held <= 2500 && argv[9] != "1" {
		return "busy", "", m.crowd(keys[5], ms)
	}
	if v, left := m.verdict(keys[2], ms); v != "" && v != argv[7] {
		return "verdict", v, left
	}
	if c, left := m.verdict(keys[3], ms); c != "" && c != argv[8] {
		return "pause", c, left
	}
	if argv[2] == "" {
		return "free", "", 0
	}
	if argv[10] != "0" && ms > number(argv[10]) {
		return "late", "", 0
	}
	if wait := m.budget(keys[4], us, number(argv[4]), number(argv[5]), number(argv[6])); wait > 0 {
		return "paced", "", (wait + 999) / 1000
	}
	m.data[keys[1]] = held{value: argv[2], ends: ms + number(argv[3])}
	return "claimed", "", 0
}

func (m *memory) crowd(key string, ms int64) (wait int64) {
	h, ok := m.data[key]
	count, err := strconv.ParseInt(h.value, 10, 64)
	switch {
	case ok && err != nil: // a list, too
		delete(m.data, key)
		count = 1
	default:
		count++
		h.value = strconv.FormatInt(count, 10)
		if h.ends == 0 || h.ends-ms > 2000 {
			h.ends = ms + 2000
		}
		m.data[key] = h
	}
	return max(100, min(100+count/15, 600))
}

// budget takes one mint out of it, or returns in how many microseconds there is one.
func (m *memory) budget(key string, us, emission, burst, most int64) (wait int64) {
	if emission == 0 {
		return 0
	}
	tat := us
	if text := m.get(key, 31); onlyDigits.MatchString(text) {
		if f, err := strconv.ParseFloat(text, 64); err == nil && f < 1<<60 {
			tat = int64(f)
		}
	}
	if tat < us || tat > us+most+emission {
		tat = us
	}
	if wait := tat - us - burst; wait > 0 {
		return wait
	}
	tat += emission
	m.data[key] = held{value: strconv.FormatInt(tat, 10), ends: us/1000 + (tat-us+999)/1000 + 1000}
	return 0
}

func (m *memory) tell(ms int64, keys, argv []string) string {
	left := number(argv[2]) - ms
	lease := m.data[keys[1]]
	mine := !lease.list && lease.value == argv[0]
	release := func() {
		if mine {
			delete(m.data, keys[1])
		}
	}
	if left < 5000 {
		release()
		return "late"
	}
	if current := m.data[keys[0]]; !current.list {
		digits := current.value[:min(len(current.value), 13)]
		if onlyDigits.MatchString(digits) && number(digits) >= number(argv[1][:13]) && number(digits) <= ms+60000 {
			release()
			return "older"
		}
	}
	m.data[keys[0]] = held{value: argv[1], ends: ms + left}
	if m.stored.IsZero() {
		m.stored = time.Now()
	}
	delete(m.data, keys[2])
	if mine {
		m.data[keys[1]] = held{value: "done", ends: ms + number(argv[3])}
	}
	return "stored"
}

func (m *memory) failed(ms int64, keys, argv []string) string {
	if lease := m.data[keys[0]]; !lease.list && lease.value == argv[0] {
		delete(m.data, keys[0])
		if guard := number(argv[1]); guard > 0 {
			m.data[keys[0]] = held{value: "failed", ends: ms + guard}
		}
	}
	if argv[2] != "" {
		m.data[keys[1]] = held{value: argv[2], ends: ms + number(argv[3])}
	}
	return "ok"
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
