// Holds stock for a cart over @grpc/grpc-js; the contract is read at run time. `node grpc.js HOST:PORT`
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { credentials, loadPackageDefinition, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { v7 as newRequestId } from "uuid";

const FILES = ["onhand/inventory/v1/reservation_service", "google/rpc/status", "google/rpc/error_details"];
const loaded = loadSync(FILES.map((name) => `${name}.proto`), {
  includeDirs: [fileURLToPath(new URL("../..", import.meta.url))], // the folder proto/
  keepCase: true, defaults: true, enums: String, json: true, // json: an Any of a known type becomes that type
  longs: Number, // right for units, seqs and millionths; for the fixed64 ids of BulkService take String
});
const { ReservationService } = loadPackageDefinition(loaded).onhand.inventory.v1;
const options = { "grpc.enable_retries": 0 }; // call() repeats
const reservations = new ReservationService(process.argv[2], credentials.createInsecure(), options);

const secondsOf = (time) => Number(time.seconds) + time.nanos / 1e9; // of a Timestamp or a Duration

/** Adds to an error what its details say. */
function read(error) {
  const bytes = error.metadata?.get("grpc-status-details-bin")[0];
  const details = bytes ? loaded["google.rpc.Status"].deserialize(bytes).details : [];
  const of = (type) => details.find((detail) => detail["@type"]?.endsWith(`/${type}`)) ?? {};
  const { retry_delay = { seconds: 0, nanos: 0 } } = of("google.rpc.RetryInfo");
  return Object.assign(error, {
    reason: of("google.rpc.ErrorInfo").reason, // such as INSUFFICIENT_STOCK; stable for ever
    violations: of("google.rpc.BadRequest").field_violations ?? [], // every field that is wrong
    shortages: of("onhand.inventory.v1.Refusal").shortages ?? [], // every line that is short
    waitSeconds: secondsOf(retry_delay),
  });
}

/** Calls until there is an answer: a repeat has the same request id, so nothing is done twice. */
async function call(method, request, patienceSeconds = 10) {
  const until = Date.now() + patienceSeconds * 1000;
  for (let wait = 0.1; ; wait *= 2) {
    try {
      const deadline = Math.min(until, Date.now() + 2000);
      return await promisify(reservations[method]).call(reservations, request, { deadline });
    } catch (error) {
      const { code, waitSeconds } = read(error);
      wait = Math.max(wait, waitSeconds) * (1 + Math.random() / 4);
      const mayRepeat = code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED || waitSeconds > 0;
      if (!mayRepeat || Date.now() + wait * 1000 > until) throw error;
      await pause(wait * 1000);
    }
  }
}

const lines = [{ sku_id: "JEANS-32", location_id: "S-VIENNA", quantity: 2 }];
const cart = { lines, ttl: { seconds: 900 }, request_id: newRequestId(), reference: "cart-17" };
const held = await call("ReserveStock", cart);
const again = await call("ReserveStock", cart); // as after a lost answer: the stored one comes back
console.log(`held once: ${held.reservation_id === again.reservation_id}`);
console.log(`until ${new Date(secondsOf(held.expire_time) * 1000).toISOString()}`);

for (const wrong of [{ ...cart, lines: [{ ...lines[0], quantity: 9_999 }] }, { lines: [{ sku_id: "MUG" }] }]) {
  try {
    await call("ReserveStock", { ...wrong, request_id: newRequestId() });
  } catch (error) {
    for (const short of error.shortages) console.log(`${error.reason}: ${short.available} left of ${short.sku_id}`);
    for (const { field, description } of error.violations) console.log(`${error.reason}: ${field}: ${description}`);
  }
}
reservations.close();
