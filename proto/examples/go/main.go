// Holds stock for a cart over grpc-go. `go run . HOST:PORT`
package main

import (
	"context"
	"fmt"
	"log"
	"math/rand"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	stock "example.com/shop/gen/onhand/inventory/v1"
)

// told is what the details of an error say; any of them may be absent.
type told struct {
	reason     string                                  // such as INSUFFICIENT_STOCK; stable for ever
	violations []*errdetails.BadRequest_FieldViolation // every field that is wrong
	shortages  []*stock.Shortage                       // every line that is short
	wait       time.Duration
}

func read(err error) (found told) {
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			found.reason = detail.Reason
		case *errdetails.BadRequest:
			found.violations = detail.FieldViolations
		case *stock.Refusal:
			found.shortages = detail.Shortages
		case *errdetails.RetryInfo:
			found.wait = detail.RetryDelay.AsDuration()
		}
	}
	return found
}

// call asks until there is an answer: a repeat has the same request id, so nothing is done twice.
func call[Q, A any](method func(context.Context, *Q, ...grpc.CallOption) (*A, error), request *Q) (*A, error) {
	all, end := context.WithTimeout(context.Background(), 10*time.Second)
	defer end()
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		once, done := context.WithTimeout(all, 2*time.Second)
		answer, err := method(once, request)
		done()
		code, asked := status.Code(err), read(err).wait
		if err == nil || code != codes.Unavailable && code != codes.DeadlineExceeded && asked == 0 {
			return answer, err
		}
		if asked > wait {
			wait = asked
		}
		select {
		case <-all.Done():
			return nil, err
		case <-time.After(wait + time.Duration(rand.Int63n(int64(wait/4)))):
		}
	}
}

func must[A any](answer A, err error) A {
	if err != nil {
		log.Fatal(err)
	}
	return answer
}

func newRequestID() string { return must(uuid.NewV7()).String() }

func main() {
	engine := must(grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry()))
	defer engine.Close()
	reservations := stock.NewReservationServiceClient(engine)

	cart := &stock.ReserveStockRequest{
		Lines:     []*stock.LineQuantity{{SkuId: "JEANS-32", LocationId: "S-VIENNA", Quantity: 2}},
		Ttl:       durationpb.New(15 * time.Minute),
		RequestId: newRequestID(),
		Reference: "cart-17",
	}
	held := must(call(reservations.ReserveStock, cart))
	again := must(call(reservations.ReserveStock, cart)) // as after a lost answer: the stored one comes back
	fmt.Printf("held once: %t\n", held.ReservationId == again.ReservationId)
	fmt.Printf("until %s\n", held.ExpireTime.AsTime().Format("2006-01-02T15:04:05.000Z07:00"))

	tooMany := []*stock.LineQuantity{{SkuId: "JEANS-32", LocationId: "S-VIENNA", Quantity: 9_999}}
	for _, wrong := range []*stock.ReserveStockRequest{
		{Lines: tooMany, Ttl: cart.Ttl, RequestId: newRequestID()},
		{Lines: []*stock.LineQuantity{{SkuId: "MUG"}}, RequestId: newRequestID()},
	} {
		_, err := call(reservations.ReserveStock, wrong)
		refusal := read(err)
		for _, short := range refusal.shortages {
			fmt.Printf("%s: %d left of %s\n", refusal.reason, short.Available, short.SkuId)
		}
		for _, violation := range refusal.violations {
			fmt.Printf("%s: %s: %s\n", refusal.reason, violation.Field, violation.Description)
		}
	}
}
