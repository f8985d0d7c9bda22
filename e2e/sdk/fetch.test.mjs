// Node's own fetch, which marks what it sends as a browser does in one point:
// "Sec-Fetch-Mode: cors".
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { control, counterpart, endTokens, entityID, proxy, simulator } from "./env.mjs";

const headers = { "x-monite-entity-id": entityID };
const json = { ...headers, "content-type": "application/json" };

test("GET and POST", async () => {
  const listed = await fetch(`${proxy}/v1/payables?limit=2`, { headers });
  assert.equal(listed.status, 200);
  assert.equal((await listed.json()).data.length, 2);

  const created = await fetch(`${proxy}/v1/counterparts`, {
    method: "POST", headers: json, body: JSON.stringify(counterpart("Fetch GmbH")),
  });
  assert.equal(created.status, 201);
  const { id } = await created.json();
  assert.equal((await fetch(`${proxy}/v1/counterparts/${id}`, { method: "DELETE", headers })).status, 204);
});

test("this Node marks its requests, or the tests here prove less than they say", async () => {
  await fetch(`${simulator}/v1/seen-directly`);
  const { data } = await control("GET", "requests");
  const seen = data.findLast((request) => request.target === "/v1/seen-directly");
  assert.deepEqual(seen.header["Sec-Fetch-Mode"], ["cors"]);
});

test("redirects lead back to the sidecar", async () => {
  const response = await fetch(`${proxy}/v1/payables/?limit=1`, { headers });
  assert.equal(response.status, 200);
  assert.ok(response.redirected);
  assert.equal(response.url, `${proxy}/v1/payables?limit=1`);
});

test("an answer is read piece by piece", async () => {
  const conversation = process.env.CONVERSATION_ID;
  const response = await fetch(`${proxy}/v1/ai/conversations/${conversation}/messages`, {
    method: "POST", headers: json, body: JSON.stringify({ text_prompt: "What is overdue?" }),
  });
  assert.equal(response.status, 201);
  let pieces = 0;
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    pieces++;
    text += piece;
  }
  assert.match(text, /finishReason/);
  assert.ok(pieces > 3, `the answer came in ${pieces} pieces`);
});

test("a body of unknown length is streamed", async () => {
  const bytes = randomBytes(3 << 20);
  const boundary = "----boundary0123456789";
  async function* parts() {
    yield Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="file_type"\r\n\r\nreceipts\r\n`);
    yield Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="r.png"\r\n`
      + "Content-Type: image/png\r\n\r\n");
    for (let at = 0; at < bytes.length; at += 65536) yield bytes.subarray(at, at + 65536);
    yield Buffer.from(`\r\n--${boundary}--\r\n`);
  }
  const response = await fetch(`${proxy}/v1/files`, {
    method: "POST", body: ReadableStream.from(parts()), duplex: "half",
    headers: { ...headers, "content-type": `multipart/form-data; boundary=${boundary}` },
  });
  assert.equal(response.status, 201);
  assert.equal((await response.json()).md5, createHash("md5").update(bytes).digest("hex"));
});

test("a token that ends in the middle goes unnoticed", async () => {
  await endTokens("expire_all");
  const statuses = await Promise.all(Array.from({ length: 50 }, async () => {
    const response = await fetch(`${proxy}/v1/payables?limit=1`, { headers });
    await response.arrayBuffer();
    return response.status;
  }));
  assert.deepEqual([...new Set(statuses)], [200]);
});
