import type { FastifyInstance } from 'fastify';
import { adviceFor, codeOf, STATUS_CAUSES } from '../connection/reasons.js';
import { HEALTH_CODES } from './render/health.js';
import { DOCS_PATH } from './render/links.js';

/**
 * The page that `more_info` in answers leads to: what the codes of status reasons mean and what to do. It has
 * nothing of this site and may be read without a token, so that the link opens in any browser.
 */
export function registerDocsRoute(app: FastifyInstance): void {
  const page = healthPage();
  app.get(
    `${DOCS_PATH}/vpc-vpn-health`,
    { schema: { hide: true }, config: { public: true } },
    async (request, reply) => {
      reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', "default-src 'none'")
        .serializer((text: unknown) => String(text));
      const { cause } = request.query as { readonly cause?: unknown };
      return page.replace(THIS_CAUSE, typeof cause === 'string' ? causeAsked(cause) : '');
    },
  );
}

/** Where the page says what the link that led to it is about. */
const THIS_CAUSE = '<!-- cause -->';

/** Of the cause in a link; nothing of a text that is none. */
function causeAsked(cause: string): string {
  const advice = adviceFor(cause);
  if (advice === undefined) return '';
  return `<p>The reason that led here is <code>${cause}</code>: ${escaped(advice)}</p>`;
}

function healthPage(): string {
  const byCode = new Map<string, string[]>();
  for (const cause of STATUS_CAUSES) {
    const entry = `<dt><code>${cause}</code></dt><dd>${escaped(adviceFor(cause) ?? '')}</dd>`;
    for (const code of new Set([codeOf(cause, 1), codeOf(cause, 2)])) {
      byCode.set(code, [...(byCode.get(code) ?? []), entry]);
    }
  }
  const gateway = Object.entries(HEALTH_CODES).map(
    ([code, text]) => `<dt><code>${code}</code></dt><dd>${escaped(text)}</dd>`,
  );
  const sections = [...byCode].map(
    ([code, entries]) => `<h3 id="${code}"><code>${code}</code></h3>\n<dl>${entries.join('\n')}</dl>`,
  );
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Health of VPN gateways and connections</title></head>
<body>
<h1>Health of VPN gateways and connections</h1>
<h2 id="vpn-gateway-health">Why a gateway is not well</h2>
<p>The codes of <code>health_reasons</code>. A tunnel that is down is no matter of the gateway's health.</p>
<dl>${gateway.join('\n')}</dl>
<h2 id="vpn-connection-health">Why a connection is down</h2>
${THIS_CAUSE}
<p>The codes of <code>status_reasons</code>, the causes behind each, and what to do. The message beside a code, and
<code>culvert vpn-gateway-connection-explain</code>, say which cause it is and what was seen.</p>
${sections.join('\n')}
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
