package cron

import (
	"strings"
	"testing"
	"time"
)

const minuteForm = "2006-01-02 15:04"

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(minuteForm, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// TestNext has the firings that follow a time.
func TestNext(t *testing.T) {
	for _, each := range []struct {
		schedule, after string
		want            []string
	}{
		{"* * * * *", "2024-02-28 23:58", []string{"2024-02-28 23:59", "2024-02-29 00:00", "2024-02-29 00:01"}},
		{"*/30 * * * *", "2024-01-01 00:00", []string{"2024-01-01 00:30", "2024-01-01 01:00"}},
		{"45 * * * *", "2024-12-31 23:45", []string{"2025-01-01 00:45"}},
		{"5/20 3 * * *", "2024-01-01 00:00", []string{"2024-01-01 03:05", "2024-01-01 03:25", "2024-01-01 03:45", "2024-01-02 03:05"}},
		{"10-40/15 0 * * *", "2024-01-01 00:00", []string{"2024-01-01 00:10", "2024-01-01 00:25", "2024-01-01 00:40", "2024-01-02 00:10"}},
		// Those of Cloudflare's documentation.
		{"0 17 * * sun", "2024-05-01 00:00", []string{"2024-05-05 17:00", "2024-05-12 17:00"}},
		{"0 17 * * 1", "2024-05-01 00:00", []string{"2024-05-05 17:00", "2024-05-12 17:00"}},
		{"10 7 * * mon-fri", "2024-05-03 08:00", []string{"2024-05-06 07:10", "2024-05-07 07:10"}},
		{"10 7 * * 2-6", "2024-05-03 08:00", []string{"2024-05-06 07:10", "2024-05-07 07:10"}},
		{"0 15 1 * *", "2024-01-31 00:00", []string{"2024-02-01 15:00", "2024-03-01 15:00"}},
		{"0 18 * * 6L", "2024-05-01 00:00", []string{"2024-05-31 18:00", "2024-06-28 18:00"}},
		{"0 18 * * friL", "2024-05-01 00:00", []string{"2024-05-31 18:00", "2024-06-28 18:00"}},
		{"59 23 LW * *", "2024-06-01 00:00", []string{"2024-06-28 23:59", "2024-07-31 23:59", "2024-08-30 23:59"}},

		{"0 0 L * *", "2023-01-31 12:00", []string{"2023-02-28 00:00", "2023-03-31 00:00"}},
		{"0 0 l-2 2 *", "2023-01-01 00:00", []string{"2023-02-26 00:00", "2024-02-27 00:00"}},
		{"0 0 1W * *", "2024-05-15 00:00", []string{"2024-06-03 00:00", "2024-07-01 00:00", "2024-08-01 00:00", "2024-09-02 00:00"}},
		{"0 0 15W * *", "2024-06-01 00:00", []string{"2024-06-14 00:00", "2024-07-15 00:00"}},
		{"0 0 30W 6 *", "2024-06-01 00:00", []string{"2024-06-28 00:00"}}, // a Sunday, the last day
		{"0 0 31W * *", "2024-02-01 00:00", []string{"2024-03-29 00:00", "2024-05-31 00:00"}},
		{"0 0 * * MON#2", "2024-05-01 00:00", []string{"2024-05-13 00:00", "2024-06-10 00:00"}},
		{"0 0 * * 6#5", "2024-05-01 00:00", []string{"2024-05-31 00:00", "2024-08-30 00:00"}},
		{"0 0 * * L", "2024-05-01 00:00", []string{"2024-05-04 00:00"}},
		{"0 0 29 2 *", "2096-03-01 00:00", []string{"2104-02-29 00:00", "2108-02-29 00:00"}},
		{"0 0 13 * FRI", "2024-09-01 00:00", []string{"2024-09-06 00:00", "2024-09-13 00:00", "2024-09-20 00:00"}}, // either
		{"0 0 13 * *", "2024-09-01 00:00", []string{"2024-09-13 00:00"}},
		{"0 0 */2 * MON", "2024-09-01 00:00", []string{"2024-09-09 00:00", "2024-09-23 00:00"}}, // both: there is a star
		{"0 0 1 jan,Jul *", "2024-01-01 00:00", []string{"2024-07-01 00:00", "2025-01-01 00:00"}},
		{" 0  0\t1 1 * ", "2024-01-01 00:00", []string{"2025-01-01 00:00"}},
	} {
		s, err := Parse(each.schedule)
		if err != nil {
			t.Errorf("%s: %v", each.schedule, err)
			continue
		}
		when := at(t, each.after).Add(30 * time.Second).In(time.FixedZone("", 3600*5+1800))
		for _, want := range each.want {
			if when = s.Next(when); when.Format(minuteForm) != want {
				t.Errorf("%s: %s, want %s", each.schedule, when.Format(minuteForm), want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "has 0 fields",
		"* * * *":             "has 4 fields",
		"* * * * * *":         "has 6 fields",
		"@daily":              "has 1 fields",
		"60 * * * *":          `minute "60": is not from 0 to 59`,
		"* 24 * * *":          `hour "24": is not from 0 to 23`,
		"* * 0 * *":           `day of month "0": is not from 1 to 31`,
		"* * 32W * *":         `day of month "32W"`,
		"* * L-31 * *":        `day of month "L-31": no month`,
		"* * L- * *":          `"" is not a value`,
		"* * * 13 *":          `month "13"`,
		"* * * FOO *":         `"FOO" is not a value such as 1 or JAN`,
		"* * * * 0":           `weekday "0": is not from 1 to 7: Sunday is 1, or SUN`,
		"* * * * 8":           `weekday "8": is not from 1 to 7`,
		"* * * * 2#0":         `what follows # is 1 to 5`,
		"* * * * 2#6":         `what follows # is 1 to 5`,
		"* * * * MON#":        `what follows # is 1 to 5`,
		"* * * * #2":          `"" is not a value`,
		"* * * * FRI-MON":     `the range ends before it begins`,
		"*/0 * * * *":         `a step is 1 to 59`,
		"*/60 * * * *":        `a step is 1 to 59`,
		"*/ * * * *":          `"" is not a value`,
		"1-2-3 * * * *":       `"2-3" is not a value`,
		"1,,2 * * * *":        `"" is not a value`,
		"-1 * * * *":          `"" is not a value`,
		"+1 * * * *":          `"+1" is not a value`,
		"1.5 * * * *":         `"1.5" is not a value`,
		"99999999999 * * * *": `is not a value`,
		"* * 30 2 *":          "is never due",
		"* * 31 2,4,6,9,11 *": "is never due",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %s", text, s, err, want)
		}
	}
}

// isDue tells by the text of an expression without extensions whether it is due at a time: slowly, and in another
// way than Next.
func isDue(text string, t time.Time) bool {
	f := strings.Fields(text)
	day, weekday := hasValue(f[2], t.Day(), 1, 31), hasValue(f[4], int(t.Weekday())+1, 1, 7)
	isDay := day && weekday
	if f[2][0] != '*' && f[4][0] != '*' {
		isDay = day || weekday
	}
	return isDay && hasValue(f[0], t.Minute(), 0, 59) && hasValue(f[1], t.Hour(), 0, 23) && hasValue(f[3], int(t.Month()), 1, 12)
}

func hasValue(text string, value, least, most int) bool {
	for _, item := range strings.Split(text, ",") {
		f := &field{"", least, most, nil}
		if least == 1 && most == 12 {
			f = &monthField
		} else if most == 7 {
			f = &weekdayField
		}
		body, step, hasStep := strings.Cut(item, "/")
		first, last, isRange := strings.Cut(body, "-")
		from, to := least, most
		if body != "*" {
			from, _ = f.value(item, first)
			if to = most; isRange {
				to, _ = f.value(item, last)
			} else if !hasStep {
				to = from
			}
		}
		by := 1
		if hasStep {
			by, _ = f.number(item, step)
		}
		if value >= from && value <= to && (value-from)%by == 0 {
			return true
		}
	}
	return false
}

// FuzzNext compares with going on minute by minute.
func FuzzNext(f *testing.F) {
	for _, seed := range []string{"* * * * *", "*/7 3-5 */2 * MON", "5/20 0 1,15 1-6 SUN-TUE", "59 23 31 12 *", "0 0 * * 2-6/2"} {
		f.Add(seed, int64(1_700_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		after := time.Unix(seconds%(1<<33), 0).UTC()
		s, err := Parse(text)
		if err != nil {
			return
		}
		next := s.Next(after)
		if next.IsZero() || !next.After(after) || next.Second() != 0 {
			t.Fatalf("%q after %v: %v", text, after, next)
		}
		if strings.ContainsAny(strings.ToUpper(strings.NewReplacer("JUL", "", "jul", "").Replace(text)), "LW#") {
			return
		}
		when := after.Truncate(time.Minute).Add(time.Minute)
		for range 20_000 {
			if when.Equal(next) {
				if !isDue(text, when) {
					t.Fatalf("%q is not due at %v", text, when)
				}
				return
			}
			if isDue(text, when) {
				t.Fatalf("%q after %v: %v, but due at %v", text, after, next, when)
			}
			when = when.Add(time.Minute)
		}
	})
}
