// Holds stock for a cart over grpc-java. `java Cart HOST:PORT`

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.Internal;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import onhand.inventory.v1.ReservationOuterClass.LineQuantity;
import onhand.inventory.v1.ReservationOuterClass.Refusal;
import onhand.inventory.v1.ReservationServiceGrpc;
import onhand.inventory.v1.ReservationServiceGrpc.ReservationServiceBlockingStub;
import onhand.inventory.v1.ReservationServiceOuterClass.ReserveStockRequest;

public final class Cart {
  static final SecureRandom CHANCE = new SecureRandom();

  /** A UUIDv7 (RFC 9562): 48 bits of milliseconds, the rest is chance. */
  static String newRequestId() {
    long high = System.currentTimeMillis() << 16 | 0x7000 | CHANCE.nextInt(0x1000);
    return new UUID(high, CHANCE.nextLong() >>> 2 | Long.MIN_VALUE).toString();
  }

  /** Returns what the details of an error say of one kind; an empty message if that is nothing. */
  static <M extends Message> M detail(StatusRuntimeException error, Class<M> kind)
      throws InvalidProtocolBufferException {
    var status = StatusProto.fromThrowable(error);
    for (Any detail : status == null ? List.<Any>of() : status.getDetailsList())
      if (detail.is(kind)) return detail.unpack(kind);
    return Internal.getDefaultInstance(kind);
  }

  /** Calls until there is an answer: a repeat has the same request id, so nothing is done twice. */
  static <A> A call(ReservationServiceBlockingStub engine, Function<ReservationServiceBlockingStub, A> ask)
      throws Exception {
    long until = System.currentTimeMillis() + 10_000;
    for (long wait = 100; ; wait *= 2) {
      try {
        long millis = Math.min(until - System.currentTimeMillis(), 2_000);
        return ask.apply(engine.withDeadlineAfter(millis, TimeUnit.MILLISECONDS));
      } catch (StatusRuntimeException error) {
        Duration asked = detail(error, RetryInfo.class).getRetryDelay(); // 0: not asked to come again
        boolean mayRepeat = List.of(Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED).contains(error.getStatus().getCode())
            || !asked.equals(Duration.getDefaultInstance());
        wait = Math.max(wait, asked.getSeconds() * 1000 + asked.getNanos() / 1_000_000);
        wait += CHANCE.nextInt((int) wait / 4);
        if (!mayRepeat || System.currentTimeMillis() + wait > until) throw error;
        Thread.sleep(wait);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    var channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().disableRetry().build();
    var engine = ReservationServiceGrpc.newBlockingStub(channel);

    var line = LineQuantity.newBuilder().setSkuId("JEANS-32").setLocationId("S-VIENNA").setQuantity(2);
    var cart = ReserveStockRequest.newBuilder().addLines(line).setTtl(Duration.newBuilder().setSeconds(900))
        .setRequestId(newRequestId()).setReference("cart-17").build();
    var held = call(engine, stub -> stub.reserveStock(cart));
    var again = call(engine, stub -> stub.reserveStock(cart)); // as after a lost answer: the stored one comes back
    System.out.println("held once: " + held.getReservationId().equals(again.getReservationId()));
    var expires = held.getExpireTime();
    System.out.println("until " + Instant.ofEpochSecond(expires.getSeconds(), expires.getNanos()));

    var tooMany = cart.toBuilder().setLines(0, line.setQuantity(9_999)).setRequestId(newRequestId()).build();
    var unfinished = ReserveStockRequest.newBuilder().addLines(LineQuantity.newBuilder().setSkuId("MUG")).build();
    for (var wrong : List.of(tooMany, unfinished)) {
      try {
        call(engine, stub -> stub.reserveStock(wrong));
      } catch (StatusRuntimeException error) {
        String reason = detail(error, ErrorInfo.class).getReason(); // stable for ever
        for (var shortage : detail(error, Refusal.class).getShortagesList())
          System.out.println(reason + ": " + shortage.getAvailable() + " left of " + shortage.getSkuId());
        for (var violation : detail(error, BadRequest.class).getFieldViolationsList())
          System.out.println(reason + ": " + violation.getField() + ": " + violation.getDescription());
      }
    }
    channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
  }
}
