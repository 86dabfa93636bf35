import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Explanation } from '../../src/connection/explain.js';
import { PROGRAM } from './program.js';
import type { SwanPair } from './strongswan-pair.js';

/** What an operator must be able to read in `culvert explain`. */
export interface Wanted {
  readonly cause: string;
  /** Evidence: what was sent, what came back, what differs. */
  readonly evidence: readonly RegExp[];
  /** What to do about it. */
  readonly remedy: RegExp;
}

async function command({ site, culvert }: SwanPair, ...words: readonly string[]): Promise<string> {
  const argv = [process.execPath, PROGRAM, ...words, '--control', culvert.control];
  const { stdout, stderr, code } = await site.lab.run('a', argv, { env: { ...process.env, NO_COLOR: '1' } });
  if (code === 2 || stdout === '') throw new Error(`culvert ${words.join(' ')}: ${stderr}`);
  return stdout;
}

/** `culvert explain to-b --output json`, as an operator's script calls it. */
export async function explanation(pair: SwanPair): Promise<Explanation> {
  return JSON.parse(await command(pair, 'explain', 'to-b', '--output', 'json')) as Explanation;
}

/**
 * Waits until `culvert explain` names the cause, and checks that the text for people has the evidence and the
 * remedy, too. No secret may be in it.
 */
export async function explains(t: Test, pair: SwanPair, wanted: Wanted, seconds = 20): Promise<Explanation> {
  const deadline = Date.now() + seconds * 1000;
  let told: Explanation;
  for (;;) {
    told = await pair.culvert.client.explain({ name: 'to-b' });
    if (told.cause === wanted.cause || Date.now() > deadline) break;
    await sleep(100);
  }
  t.equal(told.cause, wanted.cause, `${told.verdict} ${JSON.stringify(told.connection.status_reasons)}`);
  // A reason may be joined by a more telling one at any moment, and what a new IKE SA has made untrue is gone until it
  // is found again: both forms of the command are asked until they speak of the same.
  let shown: Explanation;
  let text: string;
  do {
    shown = await explanation(pair);
    text = await command(pair, 'explain', 'to-b');
  } while (!(shown.cause === wanted.cause && text.includes(wanted.cause)) && Date.now() <= deadline);
  t.equal(shown.cause, wanted.cause, 'the command says the same');
  t.match(text, new RegExp(`cause: ${wanted.cause}`));
  for (const evidence of wanted.evidence) t.match(text, evidence);
  t.match(shown.advice.join('\n'), wanted.remedy, 'and what to do');
  t.notMatch(text + JSON.stringify(shown), /correct-horse|another-secret/, 'no key is told');
  return shown;
}

/** The fault is mended: the connection comes up, and nothing is left of the explanation. */
export async function isMended(t: Test, pair: SwanPair, seconds = 60): Promise<void> {
  await pair.culvert.until('to-b', (one) => one.status === 'up', seconds);
  const told = await explanation(pair);
  t.match(told, { status: 'up', cause: null, verdict: /^The connection with .* is up for \d+ pair/ });
  t.same(told.connection.status_reasons, []);
}
