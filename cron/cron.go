// Package cron reads cron expressions and tells when they are due, in UTC. The syntax is that of Cloudflare's
// Cron Triggers: five fields, with extensions of the Quartz scheduler.
//
//	field         values                       characters
//	minute        0-59                         * , - /
//	hour          0-23                         * , - /
//	day of month  1-31                         * , - / L W
//	month         1-12, JAN-DEC                * , - /
//	weekday       1-7, SUN-SAT: 1 is Sunday    * , - / L #
//
// A step counts from the start of its range: "*/15", "10-40/10", and "5/20" from 5 to the end. L is the last
// day of the month, L-3 the third before it; 15W is the weekday (Monday to Friday) nearest to the 15th in the same
// month, LW the last weekday. For weekdays, FRIL or 6L is the last Friday of the month, MON#2 or 2#2 the
// second Monday. Names are in any case.
//
// A day has to match both of its fields if one of them begins with "*", and otherwise either, as in crontab(5).
package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// A Schedule is a cron expression. It does not change.
type Schedule struct {
	minutes uint64 // bit n: minute n
	hours   uint32
	months  uint16 // bit 1: January

	days        uint32 // of the month; bit 1: the first
	daysBefore  uint32 // bit n: the day that is n before the last
	nearest     uint32 // bit n: the weekday nearest to day n
	lastWeekday bool   // LW
	anyDay      bool   // the field begins with "*"

	weekdays   uint8    // bit 0: Sunday
	lastOf     uint8    // the last such weekday
	nth        [6]uint8 // the first to fifth such weekday, from index 1 on
	anyWeekday bool     // the field begins with "*"
}

// Parse reads an expression. An error says what is wrong with which field.
func Parse(text string) (*Schedule, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return nil, fmt.Errorf("has %d fields, not the five of minute, hour, day of month, month and weekday", len(fields))
	}
	s := &Schedule{}
	var minutes, hours, months uint64
	for _, each := range []struct {
		field *field
		into  *uint64
		text  string
	}{{&minuteField, &minutes, fields[0]}, {&hourField, &hours, fields[1]}, {&monthField, &months, fields[3]}} {
		for item := range strings.SplitSeq(each.text, ",") {
			set, err := each.field.parse(item)
			if err != nil {
				return nil, err
			}
			*each.into |= set
		}
	}
	s.minutes, s.hours, s.months = minutes, uint32(hours), uint16(months)
	s.anyDay, s.anyWeekday = strings.HasPrefix(fields[2], "*"), strings.HasPrefix(fields[4], "*")
	for item := range strings.SplitSeq(fields[2], ",") {
		if err := s.parseDay(item); err != nil {
			return nil, err
		}
	}
	for item := range strings.SplitSeq(fields[4], ",") {
		if err := s.parseWeekday(item); err != nil {
			return nil, err
		}
	}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("is never due: no month that it names has such a day")
	}
	return s, nil
}

// A field is what is the same in all fields.
type field struct {
	name        string
	least, most int
	names       []string // of the values from least on
}

var (
	minuteField  = field{"minute", 0, 59, nil}
	hourField    = field{"hour", 0, 23, nil}
	dayField     = field{"day of month", 1, 31, nil}
	monthField   = field{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
	weekdayField = field{"weekday", 1, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
)

func (f *field) wrong(item, why string) error {
	return fmt.Errorf("%s %q: %s", f.name, item, why)
}

// parse reads an item without extensions: "*", a value, a range, each perhaps with a step.
func (f *field) parse(item string) (set uint64, err error) {
	values, stepText, hasStep := strings.Cut(item, "/")
	step := 1
	if hasStep {
		if step, err = f.number(item, stepText); err != nil {
			return 0, err
		}
		if step == 0 || step > f.most {
			return 0, f.wrong(item, fmt.Sprintf("a step is 1 to %d", f.most))
		}
	}
	from, to := f.least, f.most
	if values != "*" {
		first, last, isRange := strings.Cut(values, "-")
		if from, err = f.value(item, first); err != nil {
			return 0, err
		}
		switch {
		case isRange:
			if to, err = f.value(item, last); err != nil {
				return 0, err
			}
			if to < from {
				return 0, f.wrong(item, "the range ends before it begins: write two of them")
			}
		case !hasStep:
			to = from
		}
	}
	for value := from; value <= to; value += step {
		set |= 1 << value
	}
	return set, nil
}

// value reads a number or a name.
func (f *field) value(item, text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.least + i, nil
		}
	}
	n, err := f.number(item, text)
	if err != nil {
		return 0, err
	}
	if n < f.least || n > f.most {
		why := fmt.Sprintf("is not from %d to %d", f.least, f.most)
		if f == &weekdayField && n == 0 {
			why += ": Sunday is 1, or SUN"
		}
		return 0, f.wrong(item, why)
	}
	return n, nil
}

func (f *field) number(item, text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || text[0] == '+' {
		example := strconv.Itoa(f.least)
		if f.names != nil {
			example += " or " + f.names[0]
		}
		return 0, f.wrong(item, fmt.Sprintf("%q is not a value such as %s", text, example))
	}
	return int(n), nil
}

// parseDay reads an item of the days of the month.
func (s *Schedule) parseDay(item string) error {
	upper := strings.ToUpper(item)
	before, isBefore := strings.CutPrefix(upper, "L-")
	weekday, isNearest := strings.CutSuffix(upper, "W")
	switch {
	case upper == "L":
		s.daysBefore |= 1
	case upper == "LW":
		s.lastWeekday = true
	case isBefore:
		n, err := dayField.number(item, before)
		if err != nil {
			return err
		}
		if n > 30 {
			return dayField.wrong(item, "no month has so many days before its last")
		}
		s.daysBefore |= 1 << n
	case isNearest:
		n, err := dayField.value(item, weekday)
		if err != nil {
			return err
		}
		s.nearest |= 1 << n
	default:
		set, err := dayField.parse(item)
		if err != nil {
			return err
		}
		s.days |= uint32(set)
	}
	return nil
}

// parseWeekday reads an item of the weekdays.
func (s *Schedule) parseWeekday(item string) error {
	upper := strings.ToUpper(item)
	day, nth, isNth := strings.Cut(upper, "#")
	last, isLast := strings.CutSuffix(upper, "L")
	switch {
	case upper == "L": // as in Quartz
		s.weekdays |= 1 << time.Saturday
	case isNth:
		n, err := weekdayField.value(item, day)
		if err != nil {
			return err
		}
		if len(nth) != 1 || nth[0] < '1' || nth[0] > '5' {
			return weekdayField.wrong(item, "what follows # is 1 to 5")
		}
		s.nth[nth[0]-'0'] |= 1 << (n - 1)
	case isLast:
		n, err := weekdayField.value(item, last)
		if err != nil {
			return err
		}
		s.lastOf |= 1 << (n - 1)
	default:
		set, err := weekdayField.parse(item)
		if err != nil {
			return err
		}
		s.weekdays |= uint8(set >> 1)
	}
	return nil
}

// yearsMax is how far Next looks: from one 29th of February to the next there may be eight years.
const yearsMax = 9

// Next is the first minute after a time in which the schedule is due, in UTC. The zero time: there is none,
// which Parse has made sure of.
func (s *Schedule) Next(after time.Time) time.Time {
	t := after.UTC().Truncate(time.Minute).Add(time.Minute)
	for month := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC); month.Year() <= t.Year()+yearsMax; month = month.AddDate(0, 1, 0) {
		if s.months&(1<<month.Month()) == 0 {
			continue
		}
		days := s.daysOf(month)
		isFirst := month.Year() == t.Year() && month.Month() == t.Month()
		if isFirst {
			days &^= 1<<t.Day() - 1
		}
		for ; days != 0; days &= days - 1 {
			day := bits.TrailingZeros32(days)
			hour, minute := 0, 0
			if isFirst && day == t.Day() {
				hour, minute = t.Hour(), t.Minute()
			}
			if hour, minute, ok := s.timeFrom(hour, minute); ok {
				return time.Date(month.Year(), month.Month(), day, hour, minute, 0, 0, time.UTC)
			}
		}
	}
	return time.Time{}
}

// timeFrom is the first time of a day, from one on.
func (s *Schedule) timeFrom(fromHour, fromMinute int) (hour, minute int, ok bool) {
	for hour := fromHour; hour < 24; hour++ {
		if s.hours&(1<<hour) == 0 {
			continue
		}
		minutes := s.minutes
		if hour == fromHour {
			minutes &^= 1<<fromMinute - 1
		}
		if minutes != 0 {
			return hour, bits.TrailingZeros64(minutes), true
		}
	}
	return 0, 0, false
}

// daysOf is the days of a month, given by its first, on which the schedule is due; bit 1: the first.
func (s *Schedule) daysOf(first time.Time) uint32 {
	last := first.AddDate(0, 1, -1).Day()
	all := uint32(1)<<(last+1) - 2
	weekdayOf := func(day int) time.Weekday { return (first.Weekday() + time.Weekday(day-1)) % 7 }
	byDay := s.days
	for n := range 31 {
		if s.daysBefore&(1<<n) != 0 && n < last {
			byDay |= 1 << (last - n)
		}
	}
	for day := 1; day <= last; day++ {
		if s.nearest&(1<<day) != 0 {
			byDay |= 1 << nearestWeekday(day, last, weekdayOf(day))
		}
	}
	if s.lastWeekday {
		byDay |= 1 << nearestWeekday(last, last, weekdayOf(last))
	}
	byWeekday := uint32(0)
	for day := 1; day <= last; day++ {
		bit := uint8(1) << weekdayOf(day)
		if s.weekdays&bit != 0 || s.nth[(day-1)/7+1]&bit != 0 || s.lastOf&bit != 0 && day+7 > last {
			byWeekday |= 1 << day
		}
	}
	if s.anyDay || s.anyWeekday {
		return all & byDay & byWeekday
	}
	return all & (byDay | byWeekday)
}

// nearestWeekday is the day from Monday to Friday that is nearest to a day of a month with last days.
func nearestWeekday(day, last int, weekday time.Weekday) int {
	switch {
	case weekday == time.Saturday && day > 1:
		return day - 1
	case weekday == time.Saturday:
		return day + 2
	case weekday == time.Sunday && day < last:
		return day + 1
	case weekday == time.Sunday:
		return day - 2
	}
	return day
}
