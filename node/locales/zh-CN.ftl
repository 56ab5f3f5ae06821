# 连心的页面用语。种类、字段、状态的名称在目录文件里,不在这里。

product = 连心
skip = 跳到正文
menu = 主菜单
device = 本机
menu-home = 首页
menu-new = 登记
menu-list = 列表
menu-conflicts = 冲突
menu-lookup = 凭码查询
menu-sync = 同步
menu-help = 帮助
menu-settings = 设置
menu-queue = 办理
menu-sites = 站点
logout = 退出
place-hub = { $name } · 街道中心
place-operator = { $name } · 街道人大工委
place-unconfirmed = 待入网
unconfirmed-note = 这台电脑还在等街道中心确认入网。照常登记，编号有效，确认后自动上报。
keys = 快捷键
yes = 是
no = 否
print = 打印
back = 返回
optional = 选填
none-chosen = 不选
test-data = 测试数据
online = 在线
offline = 离线

## 状态条

strip-more = 同步情况
strip-connected = 中心在线
strip-offline = 离线 · 上次联系 { $time }，之后未知
strip-never = 离线 · 还没有联系过中心
strip-none-waiting = 全部已收，没有待上报
strip-waiting = 待上报 { $count } 条，最早一条 { $age }
strip-receipt = 最近回执 { $time }
strip-no-receipt = 还没有回执
strip-online = { $count } 台电脑在线
strip-pending = 待受理 { $count } 件
strip-contact = 最近联系 { $time }
strip-nobody = 还没有电脑联系过

## 时间

age-now = 刚刚
age-minutes = { $count } 分钟前
age-hours = { $count } 小时前
age-days = { $count } 天前
recorded-ago = 登记于 { $text }
recorded-at = { $text } 登记
seen = 最近联系：{ $text }
seen-never = 从未
seen-elsewhere = 由街道中心联系，这里看不到
due-over = 已超期 { $count } 天
due-today = 今天到期
due-in = 还有 { $count } 天到期

## 六步

ladder = 走到了哪一步
ladder-reached = （已到）
state-draft = 草稿
state-draft-means = 正在写，已存在这台电脑上，还没有登记。
state-saved = 已存本机
state-saved-means = 已存在这台电脑上，断电不丢；还没有送到街道中心。
state-sending = 传送中
state-sending-means = 正在送往街道中心，还没有收到回执。
state-received = 中心已收
state-received-means = 街道中心签了回执：这条记录的全部内容都已存好。
state-merged = 已并入
state-merged-means = 街道中心已收存、核对完毕，在中心的列表里能看到。
state-answered = 已反馈
state-answered-means = 答复已经反馈给反映人。
state-refused = 被退回
state-refused-means = 街道没有受理，理由和该去哪里写在“流转”里。
state-quarantined = 已隔离
state-quarantined-means = 内容都在，但有一部分没有被采用，原因写在下面；街道可以决定采用。
state-conflict = 有冲突

## 为什么没上报

why = 为什么没上报？
why-sync = 去同步页
cause-offline = 离线
cause-offline-effect = 这台电脑现在连不上街道中心，记录先存在本机。
cause-offline-action = 检查网线或无线网；连上后会自动上报，不用重新登记。
cause-disk = 磁盘满
cause-disk-effect = 存不下新的内容，同步停住了。
cause-disk-action = 请清出一些空间；已经登记的都在。
cause-quota = 今天已满
cause-quota-effect = 这台电脑今天报送的数据太多，街道中心今天不再接收。
cause-quota-action = 可以照常登记，明天再登记或重新联网时会接着上报；请告诉街道中心。
cause-refused = 中心拒绝
cause-refused-effect = 街道中心收下了，但没有采用。
cause-refused-action = 请把编号告诉街道中心，由他们查看并决定。
cause-attachments = 等待附件
cause-attachments-effect = 文字已经送到，附件还在路上。
cause-attachments-action = 保持联网，会自动续传。
cause-permission = 权限
cause-permission-effect = 这台电脑的入网权限停用或已变更。
cause-permission-action = 请联系街道中心；可以照常登记，内容不会丢。
cause-clock = 时钟
cause-clock-effect = 这台电脑的时间不对。
cause-clock-action = 请校正电脑的日期和时间。
cause-version = 版本
cause-version-effect = 两边的程序版本不相配。
cause-version-action = 请联系街道中心升级；内容原样保留。
cause-unconfirmed = 待入网
cause-unconfirmed-effect = 街道中心还没有确认这台电脑。
cause-unconfirmed-action = 连上网后会自动确认；入网码过期请向街道中心另要一张。
cause-moving = 传送中
cause-moving-effect = 线路通着，正在传送。
cause-moving-action = 稍等片刻，收到回执就会变成“中心已收”。
reason-unknown_device = 写下它的电脑没有入网。
reason-not_permitted = 写下它的电脑没有这项权限。
reason-revoked = 写下它的电脑已被停用。
reason-forked = 同一台电脑的记录出现了两个版本（可能被复制或恢复过）。
reason-guard = 内容不合格式，没有采用。
reason-not_authority = 不是街道中心签发的。
reason-newer_version = 由更新版本的程序写下，升级后才能读。
reason-waiting = 它所依据的内容还没有到。
reason-missing = 其中一部分还没有到，别的电脑上可能有。

## 首页

home-recorded = 今天登记了 { $count } 条，中心已收 { $received } 条。
home-recorded-many = 今天登记了不止 { $count } 条，下面是最近的。
home-new = 登记意见
home-today = 今日登记
home-all = 全部记录
home-empty = 今天还没有登记
home-empty-how = 有人来反映情况，点右上角“登记意见”。没有网络也能登记。
home-todo = 等您办理
home-todo-none = 没有等您办理的事。街道答复以后，会在这里提醒您反馈给群众。
home-drafts = 草稿
home-drafts-none = 没有写了一半的草稿。
home-no-password = 这个账号还没有密码。设置密码后，明天可以直接登录。
home-set-password = 设置密码
draft-untitled = （还没有内容）
draft-at = { $text } 存下
draft-kept = 草稿已存本机 { $time }
draft-unkept = 草稿还没有存下，正在重试
draft-ready = 可提交
draft-lacks = 缺 { $count } 项
draft-discard = 删除这份草稿

## 登记

intake-title = 登记{ $text }
intake-aside = 本表
intake-parts = 本表各段
intake-save = 告知与登记
intake-notice = 您留下的信息只用于办理这件事，只给本站和办理人员看；您可以随时来站查询、更正或撤回。
intake-told = 已向反映人告知上面这段话
intake-register = 登记
intake-draft = 存为草稿
intake-hint = 也可以按
intake-faults = 还差 { $count } 处，填好就能登记
intake-faults-kept = 已经写的都在，也已存在本机。
saved-new = 登记好了，已存本机
saved-again = 这一份刚才已经登记过
saved-another = 再登一条{ $text }

refused-unknown_field = 没有这一项
refused-forbidden_field = 本系统不记录这类信息
refused-read_only = 这一项由系统填写
refused-fixed = 登记后不能改动，请用“补充”添加
refused-required = 请填写
refused-wrong_type = 请填数字或正确的内容
refused-not_text = 有不能保存的字符
refused-too_long = 太长了，最多 { $max } 个字
refused-too_many = 太多了，最多 { $max } 项
refused-not_an_option = 请从选项里选
refused-out_of_range = 请填 { $min } 到 { $max } 之间的整数
refused-bad_date = 没有这一天，请检查日期
refused-bad_time = 时间不对，请检查
refused-one_of = 主办和分办填一样，且只填一样
refused-unknown_event = 没有这一步

## 列表

list-search = 查找
list-search-how = 编号、标题或内容里的字
list-kind = 种类
list-status = 办理
list-state = 上报
list-any = 全部
list-go = 查找
list-records = 记录
list-newer = 有 { $count } 条新记录
list-refresh = 刷新
list-next = 更早的
list-all = 看全部
list-none-found = 没有找到
list-none-found-how = 换一个词，或者放宽条件。
list-empty = 还没有记录
list-empty-how = 登记的意见会列在这里，断网时也一样。
record = 记录
record-untitled = （没有标题）
record-newer = 有一部分由更新版本的程序写下，升级后才能读。内容原样保留。
request-open = 已向街道中心提出，等中心办理：
request-refused = 街道中心没有办理：
record-handling = 办理
record-waiting = 有 { $count } 处修改还没到齐，到齐后自动显示。
tab-content = 内容
tab-way = 流转
tab-history = 历史
tab-receipts = 回执
person = 联系方式
person-seen-by = 仅本站与办理人员可见
step-void = 未生效
step-done = 已存本机。
next-step = 下一步：{ $text }
other-steps = 其他操作
edit = 更正
edit-title = 更正：{ $text }
edit-words = 反映内容
edit-words-how = 原话登记后不再改动。要补充，请回到记录用“补充材料”。
edit-save = 保存更正
edit-back = 不改了
history-how = 每一处修改都由写下它的电脑签名，删不掉也改不了。
history-at = 时间
history-who = 谁
history-what = 改了什么
history-step = 办理一步
history-proof = 签名
history-verified = 已验证
receipts-how = 回执由街道中心签名，说明它收存了到哪一条为止的内容；断网也能核对。
receipts-none = 还没有回执
receipt-at = 中心收到时间
receipt-log = 日志
receipt-stored = 已收到第几条
receipt-judged = 已并到第几条
conflict-of = “{ $text }”有两种写法
conflict-how = 两台电脑各改了一次。请选定一个；没选的也留在历史里。
conflict-take = 取{ $text }
conflicts-how = 同一项在两台电脑上改成了不同的内容，等人选定。
conflicts-none = 没有冲突
conflicts-none-how = 两台电脑改了同一项，才会列在这里。
value-gone = （没有值）

## 受理单

slip = 受理单
slip-title = 群众意见建议受理单
slip-print = 打印受理单
slip-roll = 换窄纸（80 毫米）
slip-at = 登记时间
slip-category = 事项类别
slip-status = 办理情况
slip-code = 查询码
slip-code-how = 凭编号和此码可来站或打电话查询办理情况。
slip-expect = 街道一般在 15 天内告知是否受理。
slip-notice = 您留下的信息只用于办理这件事。您可以随时来站查询、更正、撤回，或要求删除个人信息。本单不含您的姓名、电话和反映内容。

## 凭码查询

lookup-how = 反映人带受理单来站或打电话时，用编号和查询码查办理情况。只显示办到哪一步。
lookup-number = 受理编号
lookup-code = 查询码
lookup-code-how = 受理单上的 8 位字母和数字，大小写都行
lookup-ask = 查询
lookup-unknown = 编号和查询码对不上。请核对受理单；只能在打印受理单的那台电脑上查。
lookup-wait = 试错太多次，请过十分钟再查。
lookup-recorded = 登记时间
lookup-due = 办理期限

## 同步

sync-how = 连上街道中心后自动同步，不用操心；这里看还有哪些没有收到回执，以及为什么。
sync-hub-how = 各站点的电脑会自己连上来。
sync-now = 立即同步
sync-moved = 送出 { $a } 条，收到 { $b } 条
sync-receipts = 回执 { $a }/{ $b }
sync-nothing = 没有可以同步的对象。
sync-waiting = 还没有回执的
sync-none = 全部已收
sync-none-how = 这台电脑登记的内容，街道中心都签了回执。
sync-what = 记录
sync-since = 最早
sync-state = 状态
sync-cause = 原因
sync-action = 怎么办
sync-more = 还有更多，先列最早的。
sync-peers = 联系过的电脑
sync-peers-none = 还没有联系过别的电脑。
peer-device = 电脑
peer-line = 线路
peer-seen = 最近联系
peer-path = 地址

## 办理与站点

queue-count = 共 { $count } 件等着办，等得最久的在最前面。
queue-none = 都办完了
queue-none-how = 新送达的意见会出现在这里。
sites-how = 按名称排列，不排名次。
sites-pending = 待受理 { $count } 件
sites-none = 还没有站点
sites-none-how = 先在下面添加站点，再给它的电脑发入网卡。
site-hub = 街道人大工委
site-pending = 待受理
site-open = 办理中
site-no-device = 还没有电脑入网。请发入网卡。
device-many-logs = 今天多次另起记录：硬盘可能被还原或复制，请到现场看看。
device-over-quota = 今天报送的数据太多，已暂停接收，明天再收。
device-ended = 已停用
office-none = 还没有操作员的电脑。
invite-new = 发入网卡
invite-role = 给什么电脑
invite-make = 生成入网卡
invite-operator = 给操作员的电脑发入网卡
invite-operator-how = 操作员的电脑能看到全部站点，断网也能办理。
invite-card = 入网卡
invite-once = 入网码只显示这一次，请现在打印或抄下。
invite-site = 站点
invite-expires = 有效期至
invite-hub = 中心地址
invite-step-1 = 在要入网的电脑上安装连心。
invite-step-2 = 运行
invite-step-3 = 核对两边屏幕上的四个词，一致就完成了。
role-station = 站点电脑
role-laptop = 外出笔记本
role-operator = 操作员电脑
role-hub = 街道中心
role-courier = 传递员
role-reader = 只读电脑
role-newer_version = 新版本的角色
site-new = 添加站点
site-name = 站点名称
site-kind = 类型
site-code = 编号代码
site-code-how = 两个字母加一个数字，印在受理编号里；不填自动取
site-add = 添加
kind-workstation = 代表工作站
kind-collection_point = 立法信息采集点
kind-livestream = 代表直播间
asked-hub = 已向街道中心提出，中心办好后自动生效。

## 登录与设置

login = 登录
login-name = 账号
login-password = 密码
login-go = 登录
login-first = 这台电脑还没有账号设过密码，请用登录链接进入。
login-link = 忘了密码，或第一次使用：点桌面图标“连心”，或在这台电脑上运行
login-wrong = 账号或密码不对。
login-wait = 试错太多次，请等 { $count } 秒再试。
login-link-used = 这个登录链接用过了或已过期。请再要一个。
password-set = 设置密码
password-change = 更改密码
password-old = 现在的密码
password-new = 新密码
password-how = 至少 6 个字符，一句话也行；不要用 123456 这样的
password-again = 再输一遍
password-save = 保存密码
password-differs = 两遍输入的不一样，请重输。
password-old-wrong = 现在的密码不对。
password-done = 密码已保存。其他浏览器里的登录已退出。
taste = 显示
taste-language = 语言
taste-large = 大字
taste-keys = 单键快捷键（N、J、K……）
taste-save = 保存
accounts = 这台电脑的账号
accounts-how = 每个人用自己的账号，每一步才知道是谁办的。账号只在这台电脑上。
account-you = 您
account-no-password = 没有密码
account-name = 姓名或称呼
account-password = 初始密码
account-add = 添加账号
account-added = 账号已添加。

## 帮助

help-title = 半分钟学会
help-guide = 一条意见怎么走
help-1 = 登记
help-1-how = 照原话写下，按“登记”。没有网也行，编号马上有。
help-2 = 给受理单
help-2-how = 打印受理单交给反映人，上面有编号和查询码。
help-3 = 看它走到哪
help-3-how = 显示“中心已收”，就是街道中心签了回执，随时可以核对。
help-4 = 反馈
help-4-how = 街道答复以后，首页会提醒您告诉反映人。
help-states = 状态是什么意思
key-n = 登记一条
key-search = 查找
key-jk = 下一行、上一行
key-enter = 打开选中的
key-e = 更正
key-p = 打印受理单
key-gs = 同步页
key-ctrl-enter = 在表里直接登记或保存
key-help = 看快捷键
keys-off = 用不惯可以关掉：

## 出错

error-next = 已经存下的内容都在。可以退回去再试；还不行，请把上面的编号告诉街道的技术人员。
error-home = 回首页
error-details = 给技术人员看的说明
error-LX-1001 = 文件读写出了问题
error-LX-1002 = 数据库没有响应
error-LX-1003 = 磁盘满了，请清出一些空间
error-LX-1004 = 程序正忙，请稍后再试
error-LX-1005 = 数据是更新版本写下的，请装回新版本
error-LX-1006 = 数据钥匙不在或不对
error-LX-1007 = 数据文件损坏
error-LX-1008 = 这个目录已经入网
error-LX-2001 = 这台电脑还没有入网
error-LX-2002 = 入网码不对
error-LX-2003 = 中心不接受这个入网码
error-LX-2004 = 对方不是真正的街道中心
error-LX-2005 = 现在连不上街道中心，记录都在本机，连上后自动上报
error-LX-2006 = 这一步只能在街道中心做
error-LX-2007 = 没有这个站点
error-LX-2008 = 代码不合格或已被占用
error-LX-2009 = 文件不对
error-LX-2010 = 街道中心暂时不受理入网，请稍后再试，或请中心发一个新的入网码
error-LX-3001 = 没有找到这条记录
error-LX-3002 = 有几项没有填对
error-LX-3003 = 送来的内容不合格式
error-LX-3004 = 没有这种记录
error-LX-3005 = 现在不能走这一步，可能别人刚办过，请刷新看看
error-LX-3006 = 这台电脑没有这项权限
error-LX-3007 = 没有什么要改的，可能别人刚改过
error-LX-3008 = 内容太长，请分成两条
error-LX-3010 = 还有修改没到齐，请稍后再试
error-LX-3011 = 这条记录有问题，请联系街道中心
error-LX-3012 = 这次改动太大，请分几次保存
error-LX-3014 = 原话登记后不能改动，请用“补充”添加
error-LX-3013 = 有几条记录用了同一个编号，请在列表里打开，并告诉街道中心
error-LX-4001 = 线路断了，没有丢东西，会自动再试
error-LX-4002 = 两边的程序对不上
error-LX-4003 = 地址不能用
error-LX-4004 = 这台电脑今天报送的数据太多，明天会接着上报
error-LX-5001 = 检查发现了问题
error-LX-5002 = 这不是存档文件，或是更新版本写下的
error-LX-6001 = 配置文件有误
error-LX-6002 = 这样不行，请看说明
error-LX-7001 = 已有同名账号
error-LX-7002 = 密码太简单，请至少 6 个字符，不要用 123456 这样的
error-LX-7003 = 账号或密码不对
error-LX-7004 = 没有这个页面
error-LX-7005 = 页面还没有启动
error-LX-9001 = 程序内部出错

## 演示

board-title = 剪断网线，看一条意见会不会丢
board-how = 下面是同一个街道的四台电脑。每台都能断网登记，接上网以后自己对齐；每条记录都如实写着走到了哪一步。
board-on = 已接通
board-off = 已剪断
board-cut = 点一下剪断网线
board-join = 点一下接上网线
board-open = 打开这台电脑的页面
board-record = 在这里登记一条
board-handle = 去办理
board-empty = 还没有记录。
board-waiting = 待上报
board-receipt = 最近回执
board-pending = 待受理
board-online = 在线电脑
board-count = { $count } 条
board-none = 还没有
board-hub = 街道中心
board-hub-about = 收下各站的记录，签回执
board-operator = 操作员电脑
board-operator-about = 受理、转办、答复
board-first = 一号机
board-second = 二号机
board-station-about = 测试社区工作站
board-walk = 五分钟走一遍
board-walk-1 = 剪断一号机
board-walk-1-how = 点它的开关。网线断开，页面照常能用。
board-walk-2 = 在一号机登记一条
board-walk-2-how = 它停在“已存本机”，待上报变成 1。
board-walk-3 = 接上网线
board-walk-3-how = 一会儿变成“中心已收”，再到“已并入”。
board-walk-4 = 在操作员电脑办理
board-walk-4-how = 受理、转办、答复；一号机马上看到。
board-walk-5 = 反馈并打印
board-walk-5-how = 回到一号机，反馈群众，打印受理单。

# 相关记录与名册
register-more = 名单里没有的，一行一个
home-new-other = 登记其他
related-add = 登记{ $text }
related-none = 还没有
related-more = 这里只显示前 { $text } 条。
article-comment = 对这一条提意见
home-laws = 正在征集意见的草案
related-whole = 对整部草案的意见
words-of = 核对词 { $text }
words = 入网核对词
words-how = 给街道打电话，念这四个词。中心「站点」页上这台设备的四个词应当一样；不一样就不要登记，请街道停用它。
articles-paste = 粘贴草案全文
articles-paste-how = 每条以“第…条”另起一行，会自动分开，接在已有条文后面；章、节标题不进条文。
articles-paste-go = 拆成条文
