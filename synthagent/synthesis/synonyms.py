"""Words of tool and parameter names, and others that say the same. Each word is its own first choice's rival."""

from collections.abc import Mapping

_GROUPS = """
get: fetch retrieve obtain load
find: locate look_up discover
search: query seek browse
list: enumerate show_all get_all
look: peek view
lookup: find_one consult
show: display present
view: inspect display
check: verify inspect examine
query: ask interrogate
read: load peruse
create: make add establish
add: append insert attach
book: reserve schedule
reserve: hold_spot book
cancel: void revoke call_off
change: modify alter amend
update: revise modify refresh
set: assign put
move: relocate shift
send: dispatch deliver
report: file_report flag notify
register: sign_up record_new enlist
enrol: sign_up admit
renew: extend prolong
extend: lengthen prolong
reschedule: move_date rebook
request: ask_for apply_for order_up
order: place_order purchase
rent: hire lease
lend: loan_out give_out
return: give_back bring_back
pay: settle remit
refund: reimburse pay_back
collect: pick_up gather
pickup: collection fetch_up
apply: put_in_for submit_for
submit: hand_in file
approve: accept sign_off
estimate: quote appraisal
release: free let_go
redirect: reroute forward
announce: declare give_notice
transfer: hand_over shift
replace: swap substitute
refill: top_up replenish
reorder: order_again repurchase
freeze: suspend pause
start: begin launch
open: begin unlock
close: shut end
exchange: swap trade
sublet: sublease let_on
repair: fix mend
member: subscriber patron_account affiliate
guest: visitor lodger
resident: inhabitant citizen
patient: client_record case_person
tenant: renter occupant
learner: student trainee
student: pupil learner
teacher: tutor instructor
diner: patron table_guest
customer: client buyer
patron: visitor theatregoer
owner: holder proprietor
id: identifier ref key_code
name: full_name title_name
number: no_ count_value
code: key token
date: day_date calendar_date
day: date weekday_date
time: hour moment
until: up_to end_date
new: updated next_value
amount: sum total
cents: minor_units
quantity: count units
reason: cause grounds
text: message wording
letter: note_letter mailing
note: remark comment
email: mail e_mail
phone: telephone contact_number
street: road address_street
room: chamber unit
table: seating
loan: borrowing checkout_item
loans: borrowings checkouts
booking: reservation_entry appointment_entry
bookings: reservations_made appointments_made
reservation: booking_entry hold_entry
reservations: booking_entries hold_entries
appointment: consultation slot_booking
appointments: consultations slot_bookings
membership: subscription_plan membership_plan
parcel: package shipment
parcels: packages shipments
bike: bicycle cycle
bikes: bicycles cycles
pet: animal companion
pets: animals companions
permit: licence authorisation
permits: licences authorisations
fee: charge cost
fees: charges costs
invoice: bill statement
course: class_course program
courses: programs offerings
class: lesson session_class
classes: lessons class_sessions
rental: hire lease_item
rentals: hires leases
repairs: fixes mendings
enrolment: registration_entry admission
enrolments: registration_entries admissions
session: meeting sitting
sessions: meetings sittings
visit: call_visit stay_visit
visits: call_visits stay_visits
performance: showing staging
performances: showings stagings
voucher: coupon gift_code
ticket: job_ticket case_ticket
tickets: job_tickets case_tickets
branch: location outlet
district: area zone
card: pass_card badge
locker: cabinet storage_box
key: access_key latchkey
tool: implement device
item: article piece
items: articles pieces
document: paper record_doc
file: dossier case_file
details: particulars specifics
history: log_book past_records
status: state condition
"""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    word.strip(): tuple(others.split())
    for word, _, others in (line.partition(":") for line in _GROUPS.strip().splitlines())
}
"""Word -> words to put in its place."""
