/** Why the server does not work an operation out, by its code, in Vietnamese: the server itself says it in English. */
import { language } from "../i18n.ts";
import type { Problem } from "../server.ts";

const VI: Readonly<Record<string, string>> = {
  "against-the-flow": "Một trong hai đường được vẽ ngược chiều chảy; mạng tự chảy phải vẽ theo chiều nước.",
  "along-the-boundary": "Đường cắt chạy dọc theo ranh thửa.",
  "at-an-end": "Điểm này là đầu mút của đường, không cắt được ở đó.",
  "attributes-differ": "Hai đối tượng có thuộc tính khác nhau: hãy cho biết giá trị được giữ.",
  "boundary-ends-there": "Có ranh của thửa khác nối vào đoạn này: đường mới phải có một đỉnh đúng tại đó.",
  collapses: "Dời tới đó thì một đường nối vào nút không còn chiều dài.",
  encloses: "Thửa sau khi hợp sẽ bao quanh thửa khác.",
  "duplicate-key": "Số này đã có ở đối tượng khác; hãy chọn số khác.",
  "ends-inside": "Đường cắt kết thúc bên trong thửa: phải đi từ ranh này đến ranh kia.",
  "heights-differ": "Chỉ một trong hai đường có cao độ; hãy bổ sung cao độ cho đường kia trước.",
  "no-node": "Đối tượng này không phải là nút của mạng lưới nào.",
  "node-there": "Tại chỗ nối có một nút.",
  "not-a-line": "Chỉ thao tác được với một đường liền nét.",
  "not-a-polygon": "Chỉ thao tác được với một vùng hợp lệ, không nhiều phần.",
  "not-adjacent": "Hai đối tượng không kề nhau.",
  "not-closed": "Hai thửa chồng lên nhau hoặc ranh chung không trùng từng đỉnh; hãy sửa ranh trước (quy tắc CAD-01, CAD-04, CAD-05).",
  "not-crossing": "Đường vẽ không cắt qua thửa.",
  "not-moved": "Nút đã ở chỗ đó.",
  "not-one-sheet": "Hai thửa không cùng tờ bản đồ.",
  "not-shared": "Hai đầu đường vẽ phải nằm trên ranh chung của hai thửa.",
  "not-two-lines": "Phải là hai đường của cùng một lớp.",
  "not-valid": "Hình nhận được không hợp lệ: đường vẽ tự cắt hoặc cắt ranh khác.",
  "number-missing": "Thửa mới cần số thửa riêng.",
  occupied: "Ở vị trí mới đã có nút; dời tới đó sẽ nối hai nút mà không ai thấy.",
  "others-meet": "Có đường khác cũng nối vào chỗ này.",
  overlaps: "Thửa sẽ chồng lên thửa khác.",
  "parts-differ": "Đường vẽ phải chia thửa thành đúng hai phần.",
  ring: "Hai đường nối nhau ở cả hai đầu: nối lại sẽ thành vòng kín.",
  "shared-by-others": "Đoạn ranh này còn là ranh của thửa khác.",
  "too-far": "Chỗ đã chọn cách quá xa: hãy phóng to và bấm đúng trên đường (ranh).",
  "too-many-around": "Ở đây có quá nhiều đối tượng.",
};

/** The server's refusal as a sentence for the reader. */
export function refusal(problem: Problem, otherwise: string): string {
  const own = language() === "vi" ? VI[problem.code ?? ""] : undefined;
  if (own === undefined) return [problem.detail ?? otherwise, problem.hint].filter(Boolean).join(" ");
  const found = problem["features"];
  const features = Array.isArray(found) ? (found as { asset_id?: string | null; fid: number }[]) : [];
  const names = features.slice(0, 3).map(({ asset_id, fid }) => asset_id ?? `#${fid}`);
  return names.length > 0 ? `${own} (${names.join(", ")})` : own;
}
