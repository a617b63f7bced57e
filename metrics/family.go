package metrics

import (
	"math"

	dto "github.com/prometheus/client_model/go"

	"nano/loop"
)

// family is a family of metrics that is being made. What its series consist of is allocated many at a time.
type family struct {
	dto.MetricFamily
	metrics  []dto.Metric
	counters []dto.Counter
	gauges   []dto.Gauge
	values   []float64
	labels   []*dto.LabelPair
}

// slab is how many series are allocated at once.
const slab = 256

var typeOf = [...]dto.MetricType{counter: dto.MetricType_COUNTER, gauge: dto.MetricType_GAUGE, histogram: dto.MetricType_HISTOGRAM}

func newFamily(name, help string, k kind) *family {
	return &family{MetricFamily: dto.MetricFamily{Name: &name, Help: &help, Type: typeOf[k].Enum()}}
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// next is the next of a slab of things.
func next[T any](all *[]T) *T {
	if len(*all) == 0 {
		*all = make([]T, slab)
	}
	first := &(*all)[0]
	*all = (*all)[1:]
	return first
}

// series begins one. Its labels are sorted by name; several series may share them.
func (f *family) series(labels []*dto.LabelPair) *dto.Metric {
	m := next(&f.metrics)
	if cap(f.labels)-len(f.labels) < len(labels) {
		f.labels = make([]*dto.LabelPair, 0, 2*slab)
	}
	begin := len(f.labels)
	f.labels = append(f.labels, labels...)
	m.Label = f.labels[begin:len(f.labels):len(f.labels)]
	f.Metric = append(f.Metric, m)
	return m
}

// add adds a series of a counter or gauge.
func (f *family) add(value float64, labels ...*dto.LabelPair) {
	m, v := f.series(labels), next(&f.values)
	*v = value
	if f.GetType() == dto.MetricType_COUNTER {
		m.Counter = next(&f.counters)
		m.Counter.Value = v
		return
	}
	m.Gauge = next(&f.gauges)
	m.Gauge.Value = v
}

// addHistogram adds a series of counts by bucket, the last of which has no bound.
func (f *family) addHistogram(bounds []float64, counts []uint64, sum float64, labels ...*dto.LabelPair) {
	m := f.series(labels)
	buckets, cumulated := make([]dto.Bucket, len(bounds)), make([]uint64, len(counts))
	m.Histogram = &dto.Histogram{SampleSum: &sum, Bucket: make([]*dto.Bucket, len(bounds))}
	total := uint64(0)
	for i, count := range counts {
		total += count
		cumulated[i] = total
		if i < len(bounds) {
			buckets[i].CumulativeCount, buckets[i].UpperBound = &cumulated[i], &bounds[i]
			m.Histogram.Bucket[i] = &buckets[i]
		}
	}
	m.Histogram.SampleCount = &cumulated[len(counts)-1]
}

// latencyBounds are loop.LatencyBounds in seconds.
var latencyBounds = func() (bounds []float64) {
	for _, bound := range loop.LatencyBounds {
		bounds = append(bounds, bound.Seconds())
	}
	return bounds
}()

// batchBounds are the upper bounds of loop.Stats.Batches: 1, 3, 7 and so on.
var batchBounds = func() (bounds []float64) {
	for class := 1; class < loop.BatchClasses; class++ {
		bounds = append(bounds, math.Exp2(float64(class))-1)
	}
	return bounds
}()
