import { CliError } from '../errors.js';
import { type ApiClient, type Fault, RefusedError } from '../vpn/api-client.js';
import type { Current } from './current.js';
import type { Document } from './document.js';
import type { Plan } from './plan.js';
import type { Step } from './step.js';
import { waitUntil } from './wait.js';

/** What the file says is refused: it has to be another. */
class FileFault extends CliError {}

/**
 * Asks the server whether everything that the plan leads to would be legal, and changes nothing.
 * @throws CliError that names the places in the file
 */
export async function check(plan: Plan, document: Document, api: ApiClient): Promise<void> {
  const steps = [...plan.deletions, ...plan.steps];
  if (steps.length === 0) return;
  try {
    await transact(steps, document, api, true);
  } catch (error) {
    if (!(error instanceof FileFault)) throw error;
    const remedy =
      plan.kept.length === 0
        ? ''
        : `; not in the file, and kept (--prune deletes it): ${plan.kept.join(', ')}`;
    throw new CliError(`${error.message}\nnothing was changed; correct the file and apply it again${remedy}`);
  }
}

/**
 * Carries a plan out: gateways that go end first, since their names and addresses are needed again, and all the rest
 * is one change. @throws CliError that says what is done and what is not
 */
export async function execute(
  plan: Plan,
  document: Document,
  current: Current,
  api: ApiClient,
): Promise<void> {
  const done: string[] = [];
  const phases = [
    { steps: plan.deletions, run: () => deleteGateways(plan.deletions, document, current, api) },
    { steps: plan.steps, run: () => transact(plan.steps, document, api, false) },
  ];
  for (const [index, { steps, run }] of phases.entries()) {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      const rest = phases.slice(index).flatMap((phase) => phase.steps.map(titleOf));
      const past = done.length === 0 ? 'nothing was changed' : `done: ${done.join(', ')}`;
      throw new CliError(`${error.message}\n${past}; not done: ${rest.join(', ')}; apply the file again`);
    }
    done.push(...steps.map(titleOf));
  }
}

function titleOf({ request, object }: Step): string {
  return `${request.operation.split('_')[0]} ${object}`;
}

/** The step and the field that a fault is of. */
const STEP = /^steps\[([0-9]+)\](?:\.body)?\.?(.*)$/;

async function transact(
  steps: readonly Step[],
  document: Document,
  api: ApiClient,
  dryRun: boolean,
): Promise<void> {
  if (steps.length === 0) return;
  try {
    await api.transact(
      steps.map(({ request }) => request),
      dryRun,
    );
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    if (error.faults.some(({ code }) => code === 'invalid_route')) {
      throw new CliError(
        'the server is older than this program and knows no transactions; update the server',
      );
    }
    // Any other refusal is of the request as a whole: who asks, or a server that cannot write now.
    if (!error.faults.some(({ target }) => STEP.test(target?.name ?? ''))) throw error;
    throw new FileFault(error.faults.map((fault) => faultText(fault, steps, document)).join('\n'));
  }
}

/** A fault with the object it is of, and where the file speaks of it. */
function faultText({ message = '', target }: Fault, steps: readonly Step[], document: Document): string {
  const [, number, field = ''] = STEP.exec(target?.name ?? '') ?? [];
  const step = number === undefined ? undefined : steps[Number(number)];
  if (step === undefined) return message;
  const { object, place } = step;
  const text = `${object}: ${message.replace(`steps[${number}]: `, '')}`;
  return place === undefined ? text : `${document.locate([...place, ...fieldPath(field)])}: ${text}`;
}

function fieldPath(field: string): (string | number)[] {
  return [...field.matchAll(/([^.[\]]+)/g)].map(([part]) => (/^[0-9]+$/.test(part) ? Number(part) : part));
}

/** Resolves when these gateways are gone, and those that were being deleted already. */
async function deleteGateways(
  steps: readonly Step[],
  document: Document,
  { leaving }: Current,
  api: ApiClient,
): Promise<void> {
  const gateways = steps.filter(({ request }) => request.operation === 'delete_vpn_gateway');
  const ids = gateways.flatMap(({ request }) => request.id ?? []);
  // One that is pending cannot be deleted yet.
  for (const id of ids) {
    await waitUntil(
      () => `gateway ${id} is still pending`,
      async () => (await api.get(`/vpn_gateways/${id}`)).lifecycle_state !== 'pending',
    );
  }
  await transact(steps, document, api, false);
  const going = new Set([...ids, ...leaving]);
  if (going.size === 0) return;
  let left: readonly string[] = [];
  await waitUntil(
    () => `gateway ${left.join(', ')} is still being deleted`,
    async () => {
      const all = await api.list('/vpn_gateways', 'vpn_gateways');
      left = all.filter(({ id }) => going.has(id)).map(({ name }) => name);
      return left.length === 0;
    },
  );
}
