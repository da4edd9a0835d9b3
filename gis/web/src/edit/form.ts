/** Forms made from a layer's schema: selects of domains, units, limits, what is required, what is read only. */
import { h } from "../dom.ts";
import { formatNumber, texts } from "../i18n.ts";
import type { Properties } from "./pending.ts";
import { TEXTS } from "./texts.ts";
import { checked, type Schema, type SchemaField, shown } from "./values.ts";

const t = texts(TEXTS);

type Input = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

interface Row {
  field: SchemaField;
  input: Input;
  error: HTMLElement;
}

let forms = 0;

export class Form {
  readonly element = h("div", { class: "edit-form" });
  readonly #rows = new Map<string, Row>();
  readonly #required: ReadonlySet<string>;
  readonly #changed: (name: string, value: unknown) => void;
  readonly #prefix = `form${++forms}`;

  /**
   * `changed` is called with each value that is right, when its field is left. `only`: these fields and no
   * others.
   */
  constructor(
    schema: Schema,
    values: Properties,
    changed: (name: string, value: unknown) => void,
    options: { only?: readonly string[]; disabled?: boolean } = {},
  ) {
    this.#changed = changed;
    this.#required = new Set(schema.required ?? []);
    const fields = Object.entries(schema.properties)
      .filter(([name]) => name !== "geometry" && (options.only?.includes(name) ?? true))
      .sort(([, a], [, b]) => (a["x-ogc-propertySeq"] ?? 0) - (b["x-ogc-propertySeq"] ?? 0));
    for (const [name, field] of fields) {
      if (field.readOnly && options.only === undefined) continue;
      this.element.append(this.#row(name, field, values[name], options.disabled ?? false));
    }
  }

  /** Shows these values, but where somebody is typing. */
  set(values: Properties): void {
    for (const [name, { field, input }] of this.#rows) {
      if (input === document.activeElement) continue;
      const text = shown(values[name], field);
      if (input.value !== text) {
        this.#offer(input, field, values[name]);
        input.value = text;
        this.#say(name, "");
      }
    }
  }

  /** What the server said to attributes, by name. */
  tell(errors: ReadonlyMap<string, string>): void {
    for (const name of this.#rows.keys()) this.#say(name, errors.get(name) ?? "");
  }

  /** Whether every value is one that the layer takes; the first that is not gets the focus. */
  check(): boolean {
    let first: Input | null = null;
    for (const [name, { field, input }] of this.#rows) {
      const { problem } = checked(input.value, field, this.#required.has(name));
      if (problem) {
        this.#say(name, t(problem.key, problem.parameters));
        first ??= input;
      }
    }
    first?.focus();
    return first === null;
  }

  /** The values as they stand in the form. */
  values(): Properties {
    return Object.fromEntries(
      [...this.#rows].map(([name, { field, input }]) => [name, checked(input.value, field, false).value]),
    );
  }

  #row(name: string, field: SchemaField, value: unknown, disabled: boolean): HTMLElement {
    const id = `${this.#prefix}-${name}`;
    const input = this.#input(field, value);
    const required = this.#required.has(name);
    input.id = id;
    input.name = name;
    input.disabled = disabled || field.readOnly === true;
    input.value = shown(value, field);
    input.setAttribute("aria-describedby", `${id}-help`);
    if (required) input.setAttribute("aria-required", "true");
    const error = h("p", { class: "edit-error", id: `${id}-help`, role: "alert", hidden: true });
    const limits = [
      field["x-ogc-unit"] ?? "",
      field.minimum === undefined || field.maximum === undefined
        ? ""
        : `${formatNumber(field.minimum)}…${formatNumber(field.maximum)}`,
    ].filter(Boolean);
    this.#rows.set(name, { field, input, error });
    input.addEventListener("change", () => {
      const { value: next, problem } = checked(input.value, field, required);
      this.#say(name, problem ? t(problem.key, problem.parameters) : "");
      if (!problem) this.#changed(name, next);
    });
    return h(
      "div",
      { class: "edit-field", "data-field": name },
      h(
        "label",
        { for: id, title: field.description ?? null },
        field.title ?? name,
        required ? h("span", { class: "edit-required", title: t("required") }, " *") : null,
        limits.length > 0 ? h("small", {}, ` ${limits.join(" · ")}`) : null,
      ),
      input,
      error,
    );
  }

  #input(field: SchemaField, value: unknown): Input {
    if (field.enum || field.type === "boolean") {
      const select = h("select", {});
      this.#offer(select, field, value);
      return select;
    }
    if (field.type === "integer" || field.type === "number") {
      return h("input", { type: "text", inputmode: field.type === "integer" ? "numeric" : "decimal", autocomplete: "off" });
    }
    if (field.format === "date") return h("input", { type: "date" });
    if ((field.maxLength ?? 1_000) > 200) return h("textarea", { rows: 2, maxlength: field.maxLength ?? null });
    return h("input", { type: "text", autocomplete: "off", maxlength: field.maxLength ?? null });
  }

  /** What a select offers; also a value that stands, though it is no longer in the domain. */
  #offer(input: Input, field: SchemaField, value: unknown): void {
    if (!(input instanceof HTMLSelectElement)) return;
    const options: [string, string][] =
      field.type === "boolean"
        ? [["true", t("yes")], ["false", t("no")]]
        : (field.oneOf ?? []).map((one) => [String(one.const), one.title ?? String(one.const)]);
    const present = shown(value, field);
    if (present !== "" && !options.some(([one]) => one === present)) options.push([present, present]);
    input.replaceChildren(h("option", { value: "" }, "—"), ...options.map(([one, title]) => h("option", { value: one }, title)));
  }

  #say(name: string, text: string): void {
    const row = this.#rows.get(name);
    if (!row) return;
    row.error.textContent = text;
    row.error.hidden = text === "";
    row.input.setAttribute("aria-invalid", String(text !== ""));
  }
}
