import { parentPort } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { writeExposition } from './exposition.js';
import type { MetricsDocument } from './families.js';
import type { RenderAnswer, RenderOrder } from './renderer.js';

/** Enough to make text with so many like parts a tenth, at a third of the cost of the default. */
const GZIP_LEVEL = 1;

/** The thread that writes expositions, so that the one that speaks IKE does not have to. */
async function render({ id, json, form, gzip }: RenderOrder): Promise<void> {
  let answer: RenderAnswer;
  try {
    const text = await writeExposition(JSON.parse(json) as MetricsDocument, form);
    const body = gzip ? gzipSync(text, { level: GZIP_LEVEL }) : Buffer.from(text);
    // A copy with memory of its own, which goes over without another one.
    answer = { id, body: Uint8Array.from(body) };
  } catch (error) {
    answer = { id, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer, 'body' in answer ? [answer.body.buffer as ArrayBuffer] : []);
}

parentPort?.on('message', (order: RenderOrder) => void render(order));
