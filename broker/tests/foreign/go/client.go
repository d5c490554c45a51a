// What the official Go client sees of a broker, line by line: client SERVICE_URL ADMIN_URL
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/log"
)

var (
	client pulsar.Client
	admin  string
	unique = fmt.Sprint(time.Now().UnixNano())
)

const wait = 10 * time.Second

func topic(name string) string {
	return "persistent://public/default/go-" + name + "-" + unique
}

// An error as the client names it.
func named(err error) string {
	if err == nil {
		return "let in"
	}
	var known *pulsar.Error
	if errors.As(err, &known) {
		return fmt.Sprintf("result %d", known.Result())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "nothing came"
	}
	// Some errors of the broker's reach the user as text: its code is the first word.
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "server error: "), ":")
	return text
}

// Ends the part that is run.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func part(name string, run func() any) {
	defer func() {
		if cause := recover(); cause != nil {
			if err, ok := cause.(error); ok {
				cause = "error " + named(err)
			}
			fmt.Printf("> %s: %v\n", name, cause)
		}
	}()
	fmt.Printf("> %s: %v\n", name, run())
}

func call(method, path, body string) int {
	request := must(http.NewRequest(method, admin+"/admin/v2/"+path, strings.NewReader(body)))
	request.Header.Set("content-type", "application/json")
	answer := must(http.DefaultClient.Do(request))
	defer answer.Body.Close()
	return answer.StatusCode
}

func subscribe(options pulsar.ConsumerOptions) pulsar.Consumer {
	if options.SubscriptionName == "" {
		options.SubscriptionName = "s"
	}
	return must(client.Subscribe(options))
}

func produce(options pulsar.ProducerOptions) pulsar.Producer {
	return must(client.CreateProducer(options))
}

func send(producer pulsar.Producer, payload string) pulsar.MessageID {
	return must(producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: []byte(payload)}))
}

func receive(consumer pulsar.Consumer) pulsar.Message {
	limit, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return must(consumer.Receive(limit))
}

// All that come until nothing does for so long.
func messages(consumer pulsar.Consumer, silence time.Duration) []pulsar.Message {
	found := []pulsar.Message{}
	for {
		limit, cancel := context.WithTimeout(context.Background(), silence)
		message, err := consumer.Receive(limit)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return found
		}
		found = append(found, must(message, err))
	}
}

// The same, acknowledged, as text.
func come(consumer pulsar.Consumer) string {
	found := []string{}
	for _, message := range messages(consumer, 1500*time.Millisecond) {
		check(consumer.Ack(message))
		found = append(found, string(message.Payload()))
	}
	return strings.Join(found, " ")
}

func silent(consumer pulsar.Consumer, duration time.Duration) bool {
	return len(messages(consumer, duration)) == 0
}

// Messages in one batch; their ids in order.
func batch(producer pulsar.Producer, from, to int) []pulsar.MessageID {
	ids := make([]pulsar.MessageID, to-from)
	for n := from; n < to; n++ {
		producer.SendAsync(context.Background(), &pulsar.ProducerMessage{Payload: fmt.Append(nil, n)},
			func(id pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
				check(err)
				ids[n-from] = id
			})
	}
	check(producer.FlushWithCtx(context.Background()))
	return ids
}

func drain(consumer pulsar.Consumer, count int) []string {
	found := []string{}
	for range count {
		message := receive(consumer)
		check(consumer.Ack(message))
		found = append(found, string(message.Payload()))
	}
	return found
}

func sorted(texts []string) []string {
	sort.Strings(texts)
	return texts
}

func types() {
	names := map[pulsar.SubscriptionType]string{
		pulsar.Exclusive: "Exclusive", pulsar.Shared: "Shared", pulsar.Failover: "Failover", pulsar.KeyShared: "KeyShared",
	}
	for _, kind := range []pulsar.SubscriptionType{pulsar.Exclusive, pulsar.Shared, pulsar.Failover, pulsar.KeyShared} {
		for _, batching := range []bool{true, false} {
			name := fmt.Sprint(names[kind], " batched ", batching)
			part(name, func() any {
				topic := topic(fmt.Sprint("types", kind, batching))
				options := pulsar.ConsumerOptions{Topic: topic, Type: kind}
				one := subscribe(options)
				_, err := client.Subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "s", Type: kind})
				second := named(err)
				_, err = client.Subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "s", Type: (kind + 1) % 4})
				other := named(err)
				if second == "let in" {
					// Alone again, but for those who may be active.
					one.Close()
					one = subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "alone", Type: kind})
				}
				producer := produce(pulsar.ProducerOptions{
					Topic: topic, DisableBatching: !batching, CompressionType: pulsar.LZ4, BatcherBuilderType: pulsar.KeyBasedBatchBuilder,
				})
				for n := range 30 {
					producer.SendAsync(context.Background(), &pulsar.ProducerMessage{
						Payload: fmt.Append(nil, n), Key: fmt.Sprint("k", n%5), Properties: map[string]string{"n": fmt.Sprint(n)},
					}, func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
						if err != nil {
							fmt.Println("not sent:", err)
						}
					})
				}
				check(producer.FlushWithCtx(context.Background()))
				return fmt.Sprint(second, ", ", other, ", ", sorted(drain(one, 30)))
			})
		}
		if kind != pulsar.Exclusive {
			part(names[kind]+" with two", func() any { return sharedOut(kind, names[kind]) })
		}
	}
}

// What each of two consumers has of 60 messages with 12 keys, and what comes to the other when one goes.
func sharedOut(kind pulsar.SubscriptionType, name string) any {
	topic := topic("shared-out-" + name)
	consumers := []pulsar.Consumer{}
	for _, name := range []string{"one", "two"} {
		consumers = append(consumers, subscribe(pulsar.ConsumerOptions{Topic: topic, Type: kind, Name: name, ReceiverQueueSize: 10}))
	}
	producer := produce(pulsar.ProducerOptions{Topic: topic, DisableBatching: true})
	for n := range 60 {
		key := fmt.Sprint("k", n%12)
		must(producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: fmt.Append(nil, n), Key: key}))
	}
	taken, keys := make([][]pulsar.Message, 2), []map[string]string{{}, {}}
	ordered := true
	for round := 0; round < 20 && len(taken[0])+len(taken[1]) < 60; round++ {
		for who, consumer := range consumers {
			for _, message := range messages(consumer, 300*time.Millisecond) {
				taken[who] = append(taken[who], message)
				number := fmt.Sprintf("%02s", message.Payload())
				ordered = ordered && keys[who][message.Key()] < number
				keys[who][message.Key()] = number
				// The first of all stays unacknowledged.
				if string(message.Payload()) != "0" {
					check(consumer.Ack(message))
				}
			}
		}
	}
	apart := true
	for key := range keys[0] {
		_, both := keys[1][key]
		apart = apart && !both
	}
	first := 0
	if len(taken[0]) == 0 || (len(taken[1]) > 0 && string(taken[1][0].Payload()) == "0") {
		first = 1
	}
	alone := len(taken[1-first]) == 0
	time.Sleep(500 * time.Millisecond)
	consumers[first].Close()
	answer := fmt.Sprint(len(taken[0])+len(taken[1]), ", one has all ", alone)
	if kind != pulsar.Shared {
		answer += fmt.Sprint(", in order ", ordered, ", keys apart ", apart)
	}
	return fmt.Sprint(answer, ", then ", come(consumers[1-first]))
}

func sticky() {
	part("sticky ranges", func() any {
		topic := topic("sticky")
		with := func(ranges ...int) pulsar.ConsumerOptions {
			policy := must(pulsar.NewKeySharedPolicySticky(ranges))
			return pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "s", Type: pulsar.KeyShared, KeySharedPolicy: policy}
		}
		low := subscribe(with(0, 16383, 32768, 49151))
		_, over := client.Subscribe(with(16383, 20000))
		_, auto := client.Subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "s", Type: pulsar.KeyShared})
		high := subscribe(with(16384, 32767, 49152, 65535))
		producer := produce(pulsar.ProducerOptions{Topic: topic})
		for n := range 20 {
			must(producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: fmt.Append(nil, n), Key: fmt.Sprint("key", n)}))
		}
		return strings.Join([]string{named(over), named(auto), come(low), come(high)}, ", ")
	})
}

func acknowledging() {
	part("negative in a batch", func() any {
		topic := topic("nack-batch")
		options := pulsar.ConsumerOptions{Topic: topic, Type: pulsar.Shared, NackRedeliveryDelay: 100 * time.Millisecond}
		consumer := subscribe(options)
		batch(produce(pulsar.ProducerOptions{Topic: topic, BatchingMaxPublishDelay: time.Second}), 0, 3)
		seen := []string{}
		for range 3 {
			for _, message := range messages(consumer, time.Second) {
				seen = append(seen, fmt.Sprint(string(message.Payload()), "x", message.RedeliveryCount()))
				if string(message.Payload()) == "1" {
					consumer.Nack(message)
				} else {
					check(consumer.Ack(message))
				}
			}
		}
		return seen
	})
	part("cumulative", func() any {
		topic := topic("cumulative")
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic})
		producer := produce(pulsar.ProducerOptions{Topic: topic})
		for n := range 10 {
			send(producer, fmt.Sprint(n))
		}
		for n := range 10 {
			if message := receive(consumer); n == 4 {
				check(consumer.AckCumulative(message))
			}
		}
		time.Sleep(500 * time.Millisecond)
		consumer.Close()
		return drain(subscribe(pulsar.ConsumerOptions{Topic: topic}), 5)
	})
	part("part of a batch", func() any {
		topic := topic("part")
		options := pulsar.ConsumerOptions{Topic: topic, Type: pulsar.Shared, EnableBatchIndexAcknowledgment: true, AckWithResponse: true}
		consumer := subscribe(options)
		producer := produce(pulsar.ProducerOptions{Topic: topic, BatchingMaxPublishDelay: time.Second})
		for n := range 6 {
			message := &pulsar.ProducerMessage{Payload: fmt.Append(nil, n)}
			producer.SendAsync(context.Background(), message, func(pulsar.MessageID, *pulsar.ProducerMessage, error) {})
		}
		check(producer.FlushWithCtx(context.Background()))
		for n := range 6 {
			if message := receive(consumer); n%2 == 0 {
				check(consumer.Ack(message))
			}
		}
		time.Sleep(500 * time.Millisecond)
		consumer.Close()
		return drain(subscribe(options), 3)
	})
	part("negative", func() any {
		topic := topic("nack")
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic, Type: pulsar.Shared, NackRedeliveryDelay: 100 * time.Millisecond})
		send(produce(pulsar.ProducerOptions{Topic: topic}), "x")
		consumer.Nack(receive(consumer))
		again := receive(consumer)
		consumer.Nack(again)
		return fmt.Sprint(again.RedeliveryCount(), " ", receive(consumer).RedeliveryCount())
	})
}

func positions() {
	for _, batched := range []bool{false, true} {
		seek(batched)
	}
	part("last ids", func() any {
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic("seekfalse"), SubscriptionName: "last"})
		last := must(consumer.GetLastMessageIDs())
		return fmt.Sprint(len(last), " ", last[0].EntryID(), " ", last[0].BatchIdx(), " ", last[0].PartitionIdx())
	})
	part("unsubscribe", func() any {
		topic := topic("unsubscribe")
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic})
		send(produce(pulsar.ProducerOptions{Topic: topic}), "x")
		check(consumer.Unsubscribe())
		return silent(subscribe(pulsar.ConsumerOptions{Topic: topic}), time.Second)
	})
	for _, inclusive := range []bool{false, true} {
		part(fmt.Sprint("reader, inclusive ", inclusive), func() any {
			topic := topic(fmt.Sprint("reader", inclusive))
			producer := produce(pulsar.ProducerOptions{Topic: topic, BatchingMaxPublishDelay: time.Second})
			starts := append(batch(producer, 0, 3), batch(producer, 3, 6)...)
			starts = append(starts, pulsar.EarliestMessageID(), pulsar.LatestMessageID())
			seen := []string{}
			for _, start := range starts {
				reader := must(client.CreateReader(pulsar.ReaderOptions{
					Topic: topic, StartMessageID: start, StartMessageIDInclusive: inclusive,
				}))
				seen = append(seen, read(reader))
				reader.Close()
			}
			return strings.Join(seen, ", ")
		})
	}
	part("reader that seeks", func() any {
		topic := topic("reader-seeks")
		producer := produce(pulsar.ProducerOptions{Topic: topic, DisableBatching: true})
		ids := batch(producer, 0, 5)
		reader := must(client.CreateReader(pulsar.ReaderOptions{Topic: topic, StartMessageID: pulsar.EarliestMessageID()}))
		seen := read(reader)
		// While an earlier cursor of the reader's is still on its way out, Pulsar refuses for a moment.
		soon(func() error { return reader.SeekByTime(time.Now().Add(-time.Minute)) })
		seen += ", " + read(reader)
		soon(func() error { return reader.Seek(ids[2]) })
		return seen + ", " + read(reader)
	})
}

// soon tries again, for at most two seconds, what a broker refuses with MetadataError.
func soon(try func() error) {
	err := try()
	for tries := 0; tries < 4 && err != nil && named(err) == "MetadataError"; tries++ {
		time.Sleep(500 * time.Millisecond)
		err = try()
	}
	check(err)
}

func read(reader pulsar.Reader) string {
	found := ""
	for reader.HasNext() {
		limit, cancel := context.WithTimeout(context.Background(), wait)
		found += string(must(reader.Next(limit)).Payload())
		cancel()
	}
	return found
}

func seek(batched bool) {
	topic := topic(fmt.Sprint("seek", batched))
	consumer := subscribe(pulsar.ConsumerOptions{Topic: topic})
	producer := produce(pulsar.ProducerOptions{Topic: topic, DisableBatching: !batched, BatchingMaxPublishDelay: time.Second})
	ids := []pulsar.MessageID{}
	for n := 0; n < 9; n += 3 {
		ids = append(ids, batch(producer, n, n+3)...)
		time.Sleep(100 * time.Millisecond)
	}
	times := []time.Time{}
	for _, message := range messages(consumer, time.Second) {
		times = append(times, message.PublishTime())
		check(consumer.Ack(message))
	}
	where := fmt.Sprint("seek, batched ", batched)
	for n, id := range append(ids, pulsar.EarliestMessageID(), pulsar.LatestMessageID()) {
		part(fmt.Sprint(where, ", to id ", n), func() any {
			consumer := subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: fmt.Sprint("id", n)})
			defer consumer.Close()
			check(consumer.Seek(id))
			return come(consumer)
		})
	}
	at := []time.Time{
		times[0].Add(-time.Minute), times[3], times[3].Add(-50 * time.Millisecond), times[8], times[8].Add(time.Minute),
	}
	for n, at := range at {
		part(fmt.Sprint(where, ", to time ", n), func() any {
			consumer := subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: fmt.Sprint("time", n)})
			defer consumer.Close()
			check(consumer.SeekByTime(at))
			return come(consumer)
		})
	}
	part(where+", back and forth", func() any {
		seen := []string{}
		for _, id := range []pulsar.MessageID{ids[5], ids[0], ids[7]} {
			check(consumer.Seek(id))
			seen = append(seen, come(consumer))
		}
		consumer.Close()
		return fmt.Sprint(seen, " then ", come(subscribe(pulsar.ConsumerOptions{Topic: topic})))
	})
}

func later() {
	part("delayed", func() any {
		topic := topic("delayed")
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic, Type: pulsar.Shared})
		producer := produce(pulsar.ProducerOptions{Topic: topic})
		must(producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: []byte("late"), DeliverAfter: 2 * time.Second}))
		must(producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: []byte("at"), DeliverAt: time.Now().Add(time.Second)}))
		send(producer, "now")
		return drain(consumer, 3)
	})
	part("dead letter", func() any {
		topic := topic("dlq")
		consumer := subscribe(pulsar.ConsumerOptions{
			Topic: topic, Type: pulsar.Shared, NackRedeliveryDelay: 100 * time.Millisecond,
			DLQ: &pulsar.DLQPolicy{MaxDeliveries: 2, DeadLetterTopic: topic + "-dead", InitialSubscriptionName: "first"},
		})
		send(produce(pulsar.ProducerOptions{Topic: topic}), "bad")
		for range 2 {
			consumer.Nack(receive(consumer))
		}
		none := silent(consumer, 2*time.Second)
		dead := receive(subscribe(pulsar.ConsumerOptions{Topic: topic + "-dead", SubscriptionName: "first"}))
		keys := []string{}
		for key := range dead.Properties() {
			keys = append(keys, key)
		}
		return fmt.Sprint(none, " ", string(dead.Payload()), " ", sorted(keys))
	})
	part("retry letter", func() any {
		topic := topic("retry")
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic, Type: pulsar.Shared, RetryEnable: true, DLQ: &pulsar.DLQPolicy{MaxDeliveries: 3}})
		send(produce(pulsar.ProducerOptions{Topic: topic}), "again")
		consumer.ReconsumeLater(receive(consumer), time.Second)
		message := receive(consumer)
		return fmt.Sprint(string(message.Payload()), " ", message.Properties()["RECONSUMETIMES"])
	})
}

func contents() {
	part("chunks", func() any {
		topic := topic("chunks")
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic})
		producer := produce(pulsar.ProducerOptions{Topic: topic, EnableChunking: true, DisableBatching: true})
		large := bytes.Repeat([]byte("0123456789abcdef"), 12<<16)
		must(producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: large}))
		message := receive(consumer)
		check(consumer.Ack(message))
		return bytes.Equal(message.Payload(), large)
	})
	part("too large", func() any {
		producer := produce(pulsar.ProducerOptions{Topic: topic("large"), DisableBatching: true})
		_, err := producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: make([]byte, 6<<20)})
		return fmt.Sprint(named(err), " ", send(producer, "small") != nil)
	})
	part("schema", func() any {
		type thing struct {
			A int    `json:"a"`
			B string `json:"b"`
		}
		definition := `{"type":"record","name":"Thing","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}`
		topic, schema := topic("schema"), pulsar.NewJSONSchema(definition, nil)
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic, Schema: schema})
		producer := produce(pulsar.ProducerOptions{Topic: topic, Schema: schema})
		must(producer.Send(context.Background(), &pulsar.ProducerMessage{Value: &thing{A: 1, B: "x"}}))
		var found thing
		message := receive(consumer)
		check(message.GetSchemaValue(&found))
		_, wrong := client.CreateProducer(pulsar.ProducerOptions{Topic: topic, Schema: pulsar.NewStringSchema(nil)})
		incompatible := pulsar.NewJSONSchema(`{"type":"record","name":"Thing","fields":[{"name":"c","type":"long"}]}`, nil)
		_, other := client.CreateProducer(pulsar.ProducerOptions{Topic: topic, Schema: incompatible})
		_, reads := client.Subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "other", Schema: pulsar.NewStringSchema(nil)})
		return fmt.Sprint(found, " version of ", len(message.SchemaVersion()), " B, ", named(wrong), ", ", named(other), ", ", named(reads))
	})
	part("avro", func() any {
		topic, definition := topic("avro"), `{"type":"record","name":"T","fields":[{"name":"a","type":"long"}]}`
		schema := pulsar.NewAvroSchema(definition, nil)
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic, Schema: schema})
		must(produce(pulsar.ProducerOptions{Topic: topic, Schema: schema}).Send(context.Background(), &pulsar.ProducerMessage{Value: map[string]any{"a": int64(7)}}))
		var found map[string]any
		check(receive(consumer).GetSchemaValue(&found))
		return found
	})
	part("table view", func() any {
		topic, schema := topic("table"), pulsar.NewStringSchema(nil)
		producer := produce(pulsar.ProducerOptions{Topic: topic, Schema: schema})
		for n := range 6 {
			value := fmt.Sprint(n)
			must(producer.Send(context.Background(), &pulsar.ProducerMessage{Key: fmt.Sprint("k", n%2), Value: value}))
		}
		kind := reflect.TypeFor[*string]()
		view := must(client.CreateTableView(pulsar.TableViewOptions{Topic: topic, Schema: schema, SchemaValueType: kind}))
		return fmt.Sprint(sorted(view.Keys()), " ", *view.Get("k1").(*string))
	})
}

func topics() {
	part("pattern", func() any {
		for n := range 2 {
			send(produce(pulsar.ProducerOptions{Topic: topic(fmt.Sprint("pattern", n))}), fmt.Sprint(n))
		}
		consumer := subscribe(pulsar.ConsumerOptions{
			TopicsPattern: "persistent://public/default/go-pattern.*" + unique, AutoDiscoveryPeriod: time.Second,
			SubscriptionInitialPosition: pulsar.SubscriptionPositionEarliest,
		})
		found := sorted(drain(consumer, 2))
		send(produce(pulsar.ProducerOptions{Topic: topic("pattern2")}), "2")
		return append(found, drain(consumer, 1)...)
	})
	part("partitions", func() any {
		topic := topic("partitions")
		made := call("PUT", strings.Replace(topic, "://", "/", 1)+"/partitions", "3")
		names := must(client.TopicPartitions(topic))
		consumer := subscribe(pulsar.ConsumerOptions{Topic: topic})
		producer := produce(pulsar.ProducerOptions{Topic: topic})
		for n := range 9 {
			must(producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: fmt.Append(nil, n), Key: fmt.Sprint("key", n)}))
		}
		return fmt.Sprint(made, " ", len(names), " ", sorted(drain(consumer, 9)))
	})
	part("several topics", func() any {
		names := []string{topic("several0"), topic("several1")}
		consumer := subscribe(pulsar.ConsumerOptions{Topics: names})
		for n, name := range names {
			send(produce(pulsar.ProducerOptions{Topic: name}), fmt.Sprint(n))
		}
		return sorted(drain(consumer, 2))
	})
	part("a topic that is deleted", func() any {
		topic := topic("deleted")
		producer := produce(pulsar.ProducerOptions{Topic: topic})
		send(producer, "x")
		path := strings.Replace(topic, "://", "/", 1)
		busy := call("DELETE", path, "")
		producer.Close()
		return fmt.Sprint(busy, " ", call("DELETE", path, ""), " ", call("DELETE", path, ""), " ", call("GET", path+"/stats", ""))
	})
}

func refused() {
	part("access", func() any {
		topic := topic("access")
		options := pulsar.ProducerOptions{Topic: topic, ProducerAccessMode: pulsar.ProducerAccessModeExclusive}
		first := produce(options)
		_, shared := client.CreateProducer(pulsar.ProducerOptions{Topic: topic})
		_, exclusive := client.CreateProducer(options)
		first.Close()
		return fmt.Sprint(named(shared), ", ", named(exclusive), ", ", produce(options) != nil)
	})
	part("a name in use", func() any {
		options := pulsar.ProducerOptions{Topic: topic("name"), Name: "n"}
		first := produce(options)
		_, err := client.CreateProducer(options)
		first.Close()
		return fmt.Sprint(named(err), " ", produce(options).Name())
	})
	part("bad names", func() any {
		said := []string{}
		for _, name := range []string{"persistent://public/nowhere/t", "persistent://nobody/default/t", "persistent://public/default/a/b/c"} {
			_, err := client.CreateProducer(pulsar.ProducerOptions{Topic: name})
			said = append(said, named(err))
		}
		return strings.Join(said, ", ")
	})
	part("terminated", func() any {
		topic := topic("terminated")
		producer := produce(pulsar.ProducerOptions{Topic: topic})
		send(producer, "x")
		done := call("POST", strings.Replace(topic, "://", "/", 1)+"/terminate", "")
		_, err := producer.Send(context.Background(), &pulsar.ProducerMessage{Payload: []byte("y")})
		_, again := client.CreateProducer(pulsar.ProducerOptions{Topic: topic})
		said := named(err)
		// Whether the client hears the refusal or the close of its producer first depends on the moment.
		if said == "result 32" || said == "result 38" {
			said = "terminated or closed"
		}
		return fmt.Sprint(done, " ", said, ", ", named(again))
	})
}

func main() {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	client = must(pulsar.NewClient(pulsar.ClientOptions{
		URL: os.Args[1], OperationTimeout: wait, ConnectionTimeout: wait, Logger: log.NewLoggerWithSlog(quiet),
	}))
	admin = os.Args[2]
	for _, group := range []func(){types, sticky, acknowledging, positions, later, contents, topics, refused} {
		group()
	}
	client.Close()
	fmt.Println("> done")
}
