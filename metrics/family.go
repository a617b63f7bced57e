package metrics

import (
	"math"

	dto "github.com/prometheus/client_model/go"

	"nano/loop"
)

// family is a family of metrics that is being made.
type family struct{ dto.MetricFamily }

var typeOf = [...]dto.MetricType{counter: dto.MetricType_COUNTER, gauge: dto.MetricType_GAUGE, histogram: dto.MetricType_HISTOGRAM}

func newFamily(name, help string, k kind) *family {
	return &family{dto.MetricFamily{Name: &name, Help: &help, Type: typeOf[k].Enum()}}
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// add adds a series of a counter or gauge. Its labels are sorted by name; several series may share them.
func (f *family) add(value float64, labels ...*dto.LabelPair) {
	m := &dto.Metric{Label: labels}
	if f.GetType() == dto.MetricType_COUNTER {
		m.Counter = &dto.Counter{Value: &value}
	} else {
		m.Gauge = &dto.Gauge{Value: &value}
	}
	f.Metric = append(f.Metric, m)
}

// addHistogram adds a series of counts by bucket, the last of which has no bound.
func (f *family) addHistogram(bounds []float64, counts []uint64, sum float64, labels ...*dto.LabelPair) {
	h := &dto.Histogram{SampleSum: &sum}
	total := uint64(0)
	for i, count := range counts {
		total += count
		if i < len(bounds) {
			h.Bucket = append(h.Bucket, &dto.Bucket{CumulativeCount: new(total), UpperBound: &bounds[i]})
		}
	}
	h.SampleCount = &total
	f.Metric = append(f.Metric, &dto.Metric{Label: labels, Histogram: h})
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
