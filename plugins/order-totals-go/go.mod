module order-totals-go

go 1.21
