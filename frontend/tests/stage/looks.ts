/** Looking at a screen: with axe's eyes, for what hangs over the edge, and as a picture for people. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { expect, type Page } from '@playwright/test';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Pictures of every screen, to be looked at by people; made anew by each run. */
export const pictures = join(import.meta.dirname, '../../test-results/screens');

interface Violation {
  readonly id: string;
  readonly help: string;
  readonly nodes: readonly { readonly target: readonly string[]; readonly failureSummary?: string }[];
}

/** WCAG 2.2 AA and axe's best practice; nothing may be found. */
export async function noViolations(page: Page, name: string): Promise<void> {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(root: Document, options: object): Promise<{ violations: Violation[] }> } };
    const run = { runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] } };
    return (await axe.run(document, run)).violations;
  });
  const said = violations.map((one) => `${one.id}: ${one.help}\n${one.nodes.map((node) => `  ${node.target.join(' ')} ${node.failureSummary ?? ''}`).join('\n')}`);
  expect(said, name).toEqual([]);
}

/** Nothing scrolls sideways, nothing hangs over the edge of the glass. */
export async function fits(page: Page, name: string): Promise<void> {
  const over = await page.evaluate(() => {
    // What is cut off by design, an ellipsis say, hangs over nothing.
    const cut = (one: HTMLElement): boolean => {
      for (let at = one.parentElement; at !== null && at !== document.body; at = at.parentElement) {
        if (getComputedStyle(at).overflowX !== 'visible' && at.getBoundingClientRect().right <= innerWidth + 1) return true;
      }
      return false;
    };
    const wide = [...document.querySelectorAll<HTMLElement>('body *')].filter((one) => {
      const box = one.getBoundingClientRect();
      return box.right > innerWidth + 1 && box.width > 0 && box.height > 0 && one.closest('.said-only, svg') === null && !cut(one);
    });
    return [...(document.documentElement.scrollWidth > innerWidth ? ['the page'] : []), ...wide.map((one) => one.outerHTML.slice(0, 160))].slice(0, 4);
  });
  expect(over, `${name} is wider than the glass`).toEqual([]);
}

export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}
